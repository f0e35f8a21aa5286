import { types } from 'node:util';
import { invalidArgument } from './errors.js';
import {
  loadNative,
  type NativeTensor,
  nativeCall,
  nativeValue,
  type TensorArray,
  type TensorDtype,
} from './native.js';

export type { TensorArray, TensorDtype };

const DTYPES = new Map<unknown, TensorDtype>([
  ['Float32Array', 'float32'],
  ['Float64Array', 'float64'],
  ['BigInt64Array', 'int64'],
  ['Int32Array', 'int32'],
  ['Int16Array', 'int16'],
  ['Int8Array', 'int8'],
  ['Uint8Array', 'uint8'],
]);

const ALL_DTYPES: readonly TensorDtype[] = [...DTYPES.values(), 'bool', 'float16', 'bfloat16'];

/**
 * A libtorch tensor: what goes into a TorchScript module and what comes out of it.
 *
 * Memory: a tensor's memory is not JavaScript's. It is freed by `dispose()`, or some time after the last reference is
 * gone, when the garbage collector runs and the event loop turns: a loop that makes tensors and never waits must
 * dispose of them. An array from `data()` stays valid after `dispose()`.
 */
export class Tensor {
  readonly shape: readonly number[];
  readonly dtype: TensorDtype;
  /** `cpu` or `cuda:N`. */
  readonly device: string;

  /** @internal */
  constructor(readonly native: NativeTensor) {
    this.shape = Object.freeze(native.shape);
    this.dtype = native.dtype;
    this.device = native.device;
  }

  /**
   * A tensor on the CPU with the array's values, row-major; its dtype is the array's (BigInt64Array is int64), and
   * `bool` may be asked for with a Uint8Array of 0 and 1. The values are copied once: JavaScript may detach or resize
   * its memory at any time. Throws INVALID_ARGUMENT.
   */
  static from(array: TensorArray, shape: readonly number[] = [array.length], dtype?: 'bool'): Tensor {
    const own = dtypeOf(array);
    if (dtype !== undefined && !(dtype === 'bool' && own === 'uint8')) {
      throw invalidArgument('dtype', `nothing for a tensor of ${own}`, dtype, 'convert with to()');
    }
    if (dtype === 'bool' && array.some((value) => value > 1)) {
      throw invalidArgument('array', '0 and 1 for dtype bool', 'other values');
    }
    checkShape(shape, array.length);
    return new Tensor(nativeValue(() => loadNative().createTensor(array, [...shape], dtype ?? own)));
  }

  /** Number of elements. */
  get size(): number {
    return this.shape.reduce((product, size) => product * size, 1);
  }

  /**
   * The values, row-major, when all work before has ended: BigInt64Array for int64, Uint8Array for bool, Float32Array
   * for float16 and bfloat16. Large arrays of a CPU tensor are its own memory, not a copy: read them only. Throws
   * DISPOSED.
   */
  data(): Promise<TensorArray> {
    return nativeCall(() => this.native.data());
  }

  /** This tensor on another device or in another dtype; it shares memory where nothing changes. */
  async to(
    target: { device?: string | undefined; dtype?: TensorDtype | undefined } | TensorDtype | string,
  ): Promise<Tensor> {
    const { device = this.device, dtype = this.dtype } = typeof target === 'string' ? named(target) : target;
    if (!ALL_DTYPES.includes(dtype)) throw invalidArgument('dtype', ALL_DTYPES.join(', '), dtype);
    return new Tensor(await nativeCall(async () => this.native.to(device, dtype)));
  }

  /** Frees the memory once running work has ended; further calls fail with DISPOSED. */
  dispose(): void {
    this.native.dispose();
  }
}

function named(target: string): { device?: string; dtype?: TensorDtype } {
  const dtype = ALL_DTYPES.find((known) => known === target);
  return dtype ? { dtype } : { device: target };
}

/** Subclasses such as Buffer, and arrays of another context of node:vm, have the tag of their kind. */
function dtypeOf(array: unknown): TensorDtype {
  const dtype = types.isTypedArray(array) ? DTYPES.get(array[Symbol.toStringTag]) : undefined;
  if (dtype) return dtype;
  throw invalidArgument('array', [...DTYPES.keys()].join(', '), array);
}

function checkShape(shape: readonly number[], length: number): void {
  const sizes = Array.isArray(shape) && shape.every((size) => Number.isSafeInteger(size) && size >= 0);
  const product = sizes ? shape.reduce((all, size) => all * size, 1) : Number.NaN;
  if (product === length) return;
  throw invalidArgument('shape', `sizes whose product is the array's length of ${length}`, `(${shape})`);
}
