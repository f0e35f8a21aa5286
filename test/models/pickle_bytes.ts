// Pieces of pickles, by the names of Python's opcodes.
export const PROTO = Buffer.from([0x80, 2]);
export const STOP = Buffer.from('.');
export const EMPTY_TUPLE = Buffer.from(')');
export const REDUCE = Buffer.from('R');
export const BINPERSID = Buffer.from('Q');
export const EMPTY_DICT = Buffer.from('}');
export const SETITEM = Buffer.from('s');
export const NEWFALSE = Buffer.from([0x89]);

export function ops(...parts: (Uint8Array | string)[]): Buffer {
  return Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : part)));
}

export function pickle(...parts: (Uint8Array | string)[]): Buffer {
  return ops(PROTO, ...parts, STOP);
}

export function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(bytes.length);
  return ops('X', length, bytes);
}

export function global(module: string, name: string): Buffer {
  return ops(`c${module}\n${name}\n`);
}

/** BININT1, or LONG1 for what does not fit. */
export function integer(value: number): Buffer {
  if (value >= 0 && value < 256) return Buffer.from([0x4b, value]);
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(BigInt(value));
  return ops(Buffer.from([0x8a, 8]), bytes);
}

export function tuple(...items: Buffer[]): Buffer {
  return ops('(', ...items, 't');
}

export function call(module: string, name: string, ...args: Buffer[]): Buffer {
  return ops(global(module, name), tuple(...args), REDUCE);
}

export function storage({ type = 'FloatStorage', key = '0', elements = 6 } = {}): Buffer {
  const id = tuple(text('storage'), global('torch', type), text(key), text('cpu'), integer(elements));
  return ops(id, BINPERSID);
}

/** {'w': tensor} over a storage. */
export function stateDict(from: Buffer, offset: number, shape: number[], strides: number[]): Buffer {
  const hooks = ops(global('collections', 'OrderedDict'), EMPTY_TUPLE, REDUCE);
  const axes = (values: number[]) => tuple(...values.map(integer));
  const args = [from, integer(offset), axes(shape), axes(strides), NEWFALSE, hooks];
  return pickle(EMPTY_DICT, text('w'), call('torch._utils', '_rebuild_tensor_v2', ...args), SETITEM);
}
