import { invalidCheckpoint } from './checkpoint_error.js';
import { type PickleGlobal, type PickleHost, PickleTuple } from './pickle_machine.js';
import { elementCount, STORED_DTYPE_BITS, type StoredDtype, type StoredTensor } from './stored_tensor.js';
import type { ZipEntry } from './zip_directory.js';

/** A tensor of a checkpoint, before it has a name. */
export class TensorRecord {
  constructor(readonly place: Omit<StoredTensor, 'name'>) {}
}

/** The bytes that one or more tensors share. */
class Storage {
  constructor(
    readonly dtype: StoredDtype,
    readonly elements: number,
    /** Bytes from the start of the file. */
    readonly offset: number,
  ) {}
}

/** torch.{...}Storage -> element type. */
const STORAGES: Record<string, StoredDtype> = {
  FloatStorage: 'F32',
  HalfStorage: 'F16',
  BFloat16Storage: 'BF16',
  DoubleStorage: 'F64',
  LongStorage: 'I64',
  IntStorage: 'I32',
  ShortStorage: 'I16',
  CharStorage: 'I8',
  ByteStorage: 'U8',
  BoolStorage: 'BOOL',
  ComplexFloatStorage: 'C64',
};

const DTYPE_NAMES = [
  'float32',
  'float16',
  'bfloat16',
  'float64',
  'int64',
  'int32',
  'int16',
  'int8',
  'uint8',
  'bool',
];

/** torch's own limit. */
const MAX_AXES = 64;

/**
 * The names that a plain state dict may use, and what they give here. `findEntry` gives the archive's entry of a
 * storage key. Objects made here have constant size, whatever they are made from: repeating a short call in a pickle
 * cannot fill the memory.
 */
export function torchHost(path: string, findEntry: (key: string) => ZipEntry | undefined): PickleHost {
  const globals = new Map<string, PickleGlobal>();
  const add = (name: string, call?: PickleGlobal['call']) =>
    globals.set(name, { name, ...(call && { call }) });
  add('collections.OrderedDict', (args) => {
    if (args.length > 0) throw invalidCheckpoint(path, 'an OrderedDict is made from arguments');
    return new Map();
  });
  add('torch._utils._rebuild_tensor_v2', (args) => rebuildTensor(path, args));
  add('torch._utils._rebuild_parameter', (args) => checkTensor(path, args[0]));
  add('torch.Size', (args) => args[0]);
  for (const storage of Object.keys(STORAGES)) add(`torch.${storage}`);
  for (const dtype of DTYPE_NAMES) add(`torch.${dtype}`);
  return {
    findGlobal: (name) => globals.get(name),
    persistentLoad: (id) => loadStorage(path, id, findEntry),
  };
}

/** id: ('storage', class, key, device, elements). */
function loadStorage(path: string, id: unknown, findEntry: (key: string) => ZipEntry | undefined): Storage {
  const [kind, type, key, , elements] = id instanceof PickleTuple ? id.items : [];
  const dtype = STORAGES[(type as PickleGlobal | undefined)?.name?.replace(/^torch\./, '') ?? ''];
  if (kind !== 'storage' || !dtype || typeof key !== 'string' || !isCount(elements)) {
    throw invalidCheckpoint(path, 'a tensor names its storage in an unknown way');
  }
  const entry = findEntry(key);
  if (!entry)
    throw invalidCheckpoint(path, `the storage ${JSON.stringify(key.slice(0, 80))} is not in the archive`);
  const expected = (elements * STORED_DTYPE_BITS[dtype]) / 8;
  if (entry.size !== expected) {
    throw invalidCheckpoint(
      path,
      `storage ${key}: ${elements} of ${dtype} take ${expected} bytes, it has ${entry.size}`,
    );
  }
  return new Storage(dtype, elements, entry.offset);
}

/** args: (storage, offset, size, stride, requires_grad, hooks); offset and strides count elements. */
function rebuildTensor(path: string, args: readonly unknown[]): TensorRecord {
  const [storage, offset, size, stride] = args;
  const shape = counts(size);
  const strides = counts(stride);
  if (
    !(storage instanceof Storage) ||
    !isCount(offset) ||
    !shape ||
    !strides ||
    shape.length !== strides.length
  ) {
    throw invalidCheckpoint(path, 'a tensor is described in an unknown way');
  }
  const elements = elementCount(shape);
  const end = elements === 0 ? offset : offset + lastElement(shape, strides) + 1;
  if (elements === undefined || !(end <= storage.elements)) {
    throw invalidCheckpoint(
      path,
      `a tensor of shape [${shape}] reaches beyond its storage of ${storage.elements} elements`,
    );
  }
  const bytesPerElement = STORED_DTYPE_BITS[storage.dtype] / 8;
  return new TensorRecord({
    path,
    offset: storage.offset + offset * bytesPerElement,
    bytes: elements * bytesPerElement,
    shape,
    dtype: storage.dtype,
    contiguous: isContiguous(shape, strides),
  });
}

function checkTensor(path: string, value: unknown): TensorRecord {
  if (value instanceof TensorRecord) return value;
  throw invalidCheckpoint(path, 'a parameter holds no tensor');
}

/** Distance, in elements, from the first element to the furthest one. */
function lastElement(shape: number[], strides: number[]): number {
  return shape.reduce((sum, size, axis) => sum + (size - 1) * strides[axis]!, 0);
}

/** Row-major without gaps; the stride of an axis of one element does not matter. */
function isContiguous(shape: number[], strides: number[]): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== expected) return shape.includes(0);
    expected *= shape[axis]!;
  }
  return true;
}

function counts(value: unknown): number[] | undefined {
  const valid = value instanceof PickleTuple && value.items.length <= MAX_AXES && value.items.every(isCount);
  return valid ? [...(value.items as number[])] : undefined;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
