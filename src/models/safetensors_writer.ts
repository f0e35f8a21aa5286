import { open, stat } from 'node:fs/promises';
import { invalidArgument, XlembedError } from '../errors.js';
import { writeFileBeside } from '../files/write_file.js';
import type { Dtype, TensorTarget } from '../native.js';
import { elementCount, STORED_DTYPE_BITS, STORED_DTYPES } from './stored_tensor.js';

export interface TensorToWrite {
  name: string;
  shape: number[];
  dtype: Dtype;
}

/** A tensor's place, in bytes from the start of the tensor data. */
interface Place extends TensorToWrite {
  begin: number;
  end: number;
}

/**
 * Writes a safetensors file: the header here, the bytes by `write`, which fills each target in place (row-major,
 * little-endian). The file appears under `path`, replacing what is there, when all of it is on disk. Throws
 * INVALID_ARGUMENT, FILE_WRITE_FAILED, and what `write` throws.
 */
export async function writeSafetensors(
  path: string,
  tensors: readonly TensorToWrite[],
  metadata: Record<string, string>,
  write: (targets: TensorTarget[]) => Promise<void>,
): Promise<void> {
  const places = placeTensors(tensors);
  const header = encodeHeader(places, metadata);
  const size = header.length + (places.at(-1)?.end ?? 0);
  await writeFileBeside(path, async (temporary) => {
    await reserve(temporary, header, size);
    await write(
      places.map(({ name, dtype, begin }) => ({
        name,
        dtype,
        path: temporary,
        offset: header.length + begin,
      })),
    );
    await checkSize(temporary, path, size);
  });
}

/** Larger elements first, then by name, as the original does: every tensor is aligned to its element. */
function placeTensors(tensors: readonly TensorToWrite[]): Place[] {
  const sorted = [...tensors].sort((a, b) => bits(b) - bits(a) || (a.name < b.name ? -1 : 1));
  const names = new Set<string>(['__metadata__']);
  let begin = 0;
  return sorted.map((tensor) => {
    if (names.has(tensor.name)) throw invalidArgument('tensors', 'distinct names', tensor.name);
    names.add(tensor.name);
    const end = begin + byteLength(tensor);
    const place = { ...tensor, begin, end };
    begin = end;
    return place;
  });
}

function bits({ dtype }: TensorToWrite): number {
  return STORED_DTYPE_BITS[STORED_DTYPES[dtype]];
}

function byteLength(tensor: TensorToWrite): number {
  const valid = tensor.shape.every((size) => Number.isSafeInteger(size) && size >= 0);
  const elements = valid ? elementCount(tensor.shape) : undefined;
  if (elements === undefined)
    throw invalidArgument(`the shape of ${tensor.name}`, 'sizes', tensor.shape.join(', '));
  return (elements * bits(tensor)) / 8;
}

/** Length, then JSON padded with spaces so that the data begins at a multiple of 8. */
function encodeHeader(places: readonly Place[], metadata: Record<string, string>): Buffer {
  const entries: [string, unknown][] = places.map(({ name, dtype, shape, begin, end }) => [
    name,
    { dtype: STORED_DTYPES[dtype], shape, data_offsets: [begin, end] },
  ]);
  if (Object.keys(metadata).length > 0) entries.unshift(['__metadata__', metadata]);
  const json = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const header = Buffer.alloc(8 + Math.ceil(json.length / 8) * 8, ' ');
  header.writeBigUInt64LE(BigInt(header.length - 8));
  json.copy(header, 8);
  return header;
}

async function reserve(path: string, header: Buffer, size: number): Promise<void> {
  const handle = await open(path, 'r+');
  try {
    await handle.writeFile(header);
    await handle.truncate(size);
  } finally {
    await handle.close();
  }
}

async function checkSize(temporary: string, path: string, expected: number): Promise<void> {
  const { size } = await stat(temporary);
  if (size === expected) return;
  throw new XlembedError('FILE_WRITE_FAILED', `${path}: expected ${expected} bytes, ${size} were written`);
}
