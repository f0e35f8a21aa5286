import { type EncoderDtype, loadNative, type NativeKernelBenchmark, nativeCall } from '../../native.js';
import { seed } from './cases.js';
import { type EncoderShape, linearLayers, operationsOf } from './encode_model.js';

/** Rows that keep every thread busy, as many batches do; and those of square matrices, for libtorch's best rate. */
const sizesOn = (device: string) =>
  device.startsWith('cuda') ? { rows: 32_768, square: 8192 } : { rows: 2048, square: 2048 };
/** Of each product: together about a second on a processor. */
const REPEATS = 8;

interface Layer {
  benchmark: NativeKernelBenchmark;
  /** The ways of multiplying in this type; the quickest sets the rate. */
  names: string[];
}

/**
 * The least time that a model's matrix products can take: every linear layer's at the rate that its shape reaches alone,
 * by libtorch or by xlembed's kernel, whichever is faster; attention's at the mean of those rates. No padding, no
 * softmax, no normalisation, no activation.
 */
export class ProductsAlone {
  private constructor(
    readonly layers: readonly Layer[],
    readonly rows: number,
    readonly shape: EncoderShape,
    readonly lengths: readonly number[],
  ) {}

  static async create(
    shape: EncoderShape,
    dtype: EncoderDtype,
    lengths: readonly number[],
    device: string,
  ): Promise<ProductsAlone> {
    const layers: Layer[] = [];
    const { rows } = sizesOn(device);
    for (const [inputs, outputs] of linearLayers(shape)) {
      const benchmark = await benchmarkOf('linear', { rows, in: inputs, out: outputs }, dtype, device);
      const all = benchmark.implementations;
      // On a CPU without a matrix unit layers of bfloat16 multiply integers of 16 bits.
      const wanted: string[] = dtype === 'bfloat16' ? ['bfloat16', 'int16'] : [dtype];
      const usable = all.filter(({ arithmetic }) => wanted.includes(arithmetic));
      layers.push({ benchmark, names: usable.map(({ name }) => name) });
      for (const { name } of usable) await nativeCall(() => benchmark.run(name, 1));
    }
    return new ProductsAlone(layers, rows, shape, lengths);
  }

  /** Seconds for all texts, from the rates of this moment. */
  async seconds(): Promise<number> {
    let layerSeconds = 0;
    for (const { benchmark, names } of this.layers) {
      const times = [];
      for (const name of names) times.push(await nativeCall(() => benchmark.run(name, REPEATS)));
      layerSeconds += Math.min(...times);
    }
    const measured = operationsOf({ ...this.shape, num_hidden_layers: 1 }, [this.rows]).linear;
    const { linear, attention } = operationsOf(this.shape, this.lengths);
    return ((linear + attention) * layerSeconds) / measured;
  }

  dispose(): void {
    for (const { benchmark } of this.layers) benchmark.dispose();
  }
}

/** The rate of libtorch's products of square matrices, which is what any program here can reach at best. */
export class SquareProducts {
  private constructor(
    readonly benchmark: NativeKernelBenchmark,
    readonly size: number,
    readonly operations: number,
  ) {}

  /** For so many operations. */
  static async create(operations: number, dtype: EncoderDtype, device: string): Promise<SquareProducts> {
    const size = sizesOn(device).square;
    const benchmark = await benchmarkOf('matmul', { size }, dtype, device);
    await nativeCall(() => benchmark.run('libtorch', 1));
    return new SquareProducts(benchmark, size, operations);
  }

  /** Seconds for all operations, from the rate of this moment. */
  async seconds(): Promise<number> {
    const seconds = await nativeCall(() => this.benchmark.run('libtorch', REPEATS));
    return (seconds * this.operations) / (2 * this.size ** 3);
  }

  dispose(): void {
    this.benchmark.dispose();
  }
}

/** A processor's linear layers are timed in every type at once, from float32 inputs. */
function benchmarkOf(
  op: string,
  shape: Record<string, number>,
  dtype: EncoderDtype,
  device: string,
): Promise<NativeKernelBenchmark> {
  const inputs = device === 'cpu' || dtype === 'int8' ? 'float32' : dtype;
  return nativeCall(() =>
    loadNative().createKernelBenchmark({ op, device, dtype: inputs, inputSets: 1, seed, shape }),
  );
}
