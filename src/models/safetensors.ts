import { XlembedError } from '../errors.js';
import { findKeyProblem } from './json_keys.js';
import { type RangedFile, withFile } from './ranged_file.js';
import { elementCount, STORED_DTYPE_BITS, type StoredDtype, type StoredTensor } from './stored_tensor.js';

/** Bytes; the limit of the safetensors project. */
const MAX_HEADER_BYTES = 100_000_000;
const LENGTH_BYTES = 8;

export interface SafetensorsFile {
  path: string;
  metadata: Record<string, string>;
  /** In the order of their bytes. */
  tensors: StoredTensor[];
}

/**
 * Reads the header of a safetensors file and checks everything that the format promises, so that every offset can be
 * read without a further check. Touches no tensor bytes. Throws SAFETENSORS_INVALID, FILE_NOT_FOUND, FILE_READ_FAILED.
 * Format: https://github.com/huggingface/safetensors#format
 */
export function readSafetensorsHeader(path: string): SafetensorsFile {
  return withFile(path, (file) => {
    const header = readHeaderText(file);
    const dataStart = LENGTH_BYTES + header.bytes;
    const entries = parseHeader(header.text, path);
    const tensors = entries.tensors.map(([name, info]) => checkEntry(name, info, dataStart, path));
    tensors.sort((a, b) => a.offset - b.offset || a.bytes - b.bytes);
    checkLayout(tensors, dataStart, file);
    return { path, metadata: entries.metadata, tensors };
  });
}

function invalid(path: string, what: string): XlembedError {
  return new XlembedError(
    'SAFETENSORS_INVALID',
    `${path}: ${what}`,
    'the file is damaged; fetch or write it again',
  );
}

function readHeaderText(file: RangedFile): { text: string; bytes: number } {
  const { path, size } = file;
  if (size < LENGTH_BYTES)
    throw invalid(path, `expected at least 8 bytes of header length, received ${size} bytes`);
  const declared = file.read(0, LENGTH_BYTES).readBigUInt64LE();
  if (declared > BigInt(MAX_HEADER_BYTES)) {
    throw invalid(path, `header length ${declared} is over the limit of ${MAX_HEADER_BYTES} bytes`);
  }
  const bytes = Number(declared);
  if (LENGTH_BYTES + bytes > size) {
    throw invalid(path, `header length ${bytes} reaches beyond the end of the file (${size} bytes)`);
  }
  const raw = file.read(LENGTH_BYTES, bytes);
  if (raw[0] !== 0x7b) throw invalid(path, "the header does not start with '{'");
  try {
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(raw), bytes };
  } catch {
    throw invalid(path, 'the header is not UTF-8');
  }
}

function parseHeader(text: string, path: string) {
  const problem = findKeyProblem(text);
  if (problem?.problem === 'duplicate')
    throw invalid(path, `the header names "${shorten(problem.key)}" twice`);
  if (problem?.problem === 'depth') throw invalid(path, 'the header is nested too deeply');
  let header: Record<string, unknown>;
  try {
    header = JSON.parse(text) as Record<string, unknown>;
  } catch (cause) {
    throw invalid(path, `the header is not JSON: ${shorten((cause as Error).message)}`);
  }
  const tensors = Object.entries(header).filter(([name]) => name !== '__metadata__');
  const raw = Object.hasOwn(header, '__metadata__') ? header.__metadata__ : {};
  return { metadata: checkMetadata(raw, path), tensors };
}

function checkMetadata(raw: unknown, path: string): Record<string, string> {
  const texts = isObject(raw) ? Object.values(raw).every((value) => typeof value === 'string') : false;
  if (!texts) throw invalid(path, '__metadata__ is not an object of texts');
  return raw as Record<string, string>;
}

/** One header entry as a tensor, with its size checked against its shape. Offsets in the header count from `dataStart`. */
function checkEntry(name: string, info: unknown, dataStart: number, path: string): StoredTensor {
  const where = `tensor "${shorten(name)}"`;
  if (!isObject(info))
    throw invalid(path, `${where}: expected an object, received ${shorten(JSON.stringify(info))}`);
  const dtype = checkDtype(info.dtype, where, path);
  const shape = checkIntegers(info.shape, `${where}: shape`, path);
  const offsets = checkIntegers(info.data_offsets, `${where}: data_offsets`, path);
  const [begin, end] = offsets as [number, number];
  if (offsets.length !== 2)
    throw invalid(path, `${where}: expected 2 data_offsets, received ${offsets.length}`);
  if (end < begin) throw invalid(path, `${where}: data_offsets end at ${end}, before they begin at ${begin}`);
  const expected = byteCount(shape, dtype, where, path);
  if (end - begin !== expected) {
    throw invalid(
      path,
      `${where}: ${dtype} ${show(shape)} takes ${expected} bytes, data_offsets hold ${end - begin}`,
    );
  }
  return { name, path, offset: dataStart + begin, bytes: expected, shape, dtype, contiguous: true };
}

function checkDtype(raw: unknown, where: string, path: string): StoredDtype {
  if (typeof raw === 'string' && Object.hasOwn(STORED_DTYPE_BITS, raw)) return raw as StoredDtype;
  throw invalid(path, `${where}: unknown dtype ${shorten(JSON.stringify(raw))}`);
}

function checkIntegers(raw: unknown, where: string, path: string): number[] {
  const valid = Array.isArray(raw) && raw.every(isCount);
  if (!valid)
    throw invalid(path, `${where}: expected non-negative integers, received ${shorten(JSON.stringify(raw))}`);
  return raw;
}

function byteCount(shape: number[], dtype: StoredDtype, where: string, path: string): number {
  const bits = (elementCount(shape) ?? Number.NaN) * STORED_DTYPE_BITS[dtype];
  if (!Number.isSafeInteger(bits))
    throw invalid(path, `${where}: the size of shape ${show(shape)} overflows`);
  if (bits % 8 !== 0) throw invalid(path, `${where}: ${dtype} ${show(shape)} does not fill whole bytes`);
  return bits / 8;
}

/** Tensors follow one another without gap or overlap and end where the file ends. */
function checkLayout(tensors: StoredTensor[], dataStart: number, file: RangedFile): void {
  let expected = dataStart;
  for (const { name, offset, bytes } of tensors) {
    if (offset !== expected) {
      const how = offset < expected ? 'overlaps the tensor before it' : 'leaves a gap before it';
      const [from, to] = [offset - dataStart, expected - dataStart];
      throw invalid(file.path, `tensor "${shorten(name)}" ${how}: it begins at ${from}, expected ${to}`);
    }
    expected += bytes;
  }
  if (expected > file.size) {
    throw invalid(
      file.path,
      `the tensors end at byte ${expected}, beyond the end of the file (${file.size} bytes)`,
    );
  }
  if (expected < file.size) {
    throw invalid(file.path, `${file.size - expected} bytes follow the last tensor, expected none`);
  }
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0 && !Object.is(value, -0);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function shorten(text: string | undefined): string {
  return text === undefined ? 'nothing' : text.length > 80 ? `${text.slice(0, 80)}...` : text;
}

function show(shape: number[]): string {
  return shorten(`[${shape}]`);
}
