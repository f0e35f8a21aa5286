import { randomBytes } from 'node:crypto';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { invalidArgument, XlembedError } from '../errors.js';
import { fileError } from '../files/file_error.js';
import { syncFile } from '../files/siblings.js';
import { halfToFloat32 } from './half.js';

// NumPy's format: "\x93NUMPY", version, length of the header, a Python dictionary in text, then the values.
// Source: numpy/lib/format.py.
const magic = Buffer.from('\x93NUMPY', 'latin1');
const writtenHeaderBytes = 128;
const pieceBytes = 2 ** 24;

/** Element types as NumPy spells them. */
const descriptions = { float32: '<f4', float16: '<f2', int8: '|i1', uint8: '|u1' } as const;
const bytesPerValue = { float32: 4, float16: 2, int8: 1, uint8: 1 } as const;
export type NpyDtype = keyof typeof descriptions;
/** float16 as bits. */
export type NpyArray = Float32Array | Uint16Array | Int8Array | Uint8Array;

export interface NpyHeader {
  dtype: NpyDtype;
  /** N and D of an (N, D) array in C order. */
  rows: number;
  dimensions: number;
  /** Bytes before the first value. */
  offset: number;
}

/**
 * Reads the header of a .npy file and checks it against the file's size. Throws FILE_NOT_FOUND, FILE_READ_FAILED and
 * MALFORMED_FILE for anything but a two-dimensional little-endian float32, float16, int8 or uint8 array in C order.
 */
export async function readNpyHeader(path: string): Promise<NpyHeader> {
  return withFile(path, async (file) => {
    const header = parseHeader(path, await readHeaderText(path, file));
    const expected = header.offset + header.rows * header.dimensions * bytesPerValue[header.dtype];
    const { size } = await file.stat();
    if (size !== expected) throw malformed(path, `${expected} bytes by its header`, `${size} bytes`);
    return header;
  });
}

/** The rows of a .npy file in order, in pieces of about 16 MB: each (rows, D) float32 in memory of its own. */
export async function* readNpyRows(path: string): AsyncGenerator<Float32Array, void, undefined> {
  yield* readRowsAt(path, await readNpyHeader(path));
}

/** The same for rows that lie anywhere in a file. The layout has been checked against the file's size. */
export async function* readRowsAt(
  path: string,
  { dtype, rows, dimensions, offset }: NpyHeader,
): AsyncGenerator<Float32Array, void, undefined> {
  const rowBytes = dimensions * bytesPerValue[dtype];
  const step = Math.max(1, Math.floor(pieceBytes / rowBytes));
  const file = await openToRead(path);
  try {
    for (let first = 0; first < rows; first += step) {
      const bytes = new Uint8Array(Math.min(step, rows - first) * rowBytes);
      await readExactly(path, file, bytes, offset + first * rowBytes);
      yield toFloat32(bytes, dtype);
    }
  } finally {
    await file.close();
  }
}

function toFloat32(bytes: Uint8Array, dtype: NpyDtype): Float32Array {
  if (dtype === 'float32') return new Float32Array(bytes.buffer);
  if (dtype === 'float16') return halfToFloat32(new Uint16Array(bytes.buffer));
  return Float32Array.from(dtype === 'int8' ? new Int8Array(bytes.buffer) : bytes);
}

/**
 * Writes an (N, D) array row by row, N unknown until `close`: to a file beside `path`, whose header is
 * rewritten at the end and which is then renamed to `path`. Throws FILE_WRITE_FAILED.
 */
export class NpyWriter {
  #rows = 0;

  private constructor(
    readonly path: string,
    readonly dimensions: number,
    readonly dtype: NpyDtype,
    private readonly temporary: string,
    private readonly file: FileHandle,
  ) {}

  static async create(path: string, dimensions: number, dtype: NpyDtype = 'float32'): Promise<NpyWriter> {
    if (!Number.isSafeInteger(dimensions) || dimensions < 1) {
      throw invalidArgument('dimensions', 'a whole number above 0', dimensions);
    }
    const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`);
    return writing(path, async () => {
      const file = await open(temporary, 'wx');
      await file.write(headerBytes(0, dimensions, dtype));
      return new NpyWriter(path, dimensions, dtype, temporary, file);
    });
  }

  get rows(): number {
    return this.#rows;
  }

  /** Appends vectors (rows, D) of the file's type, float16 as bits. One call at a time. */
  async append(vectors: NpyArray): Promise<void> {
    if (vectors.length % this.dimensions !== 0) {
      throw new XlembedError(
        'DIMENSION_MISMATCH',
        `expected a multiple of ${this.dimensions} values, received ${vectors.length}`,
      );
    }
    await writing(this.path, () => this.#write(vectors));
    this.#rows += vectors.length / this.dimensions;
  }

  /** Completes the file under its own name; returns N. */
  async close(): Promise<number> {
    await writing(this.path, async () => {
      await this.file.write(headerBytes(this.#rows, this.dimensions, this.dtype), 0, writtenHeaderBytes, 0);
      await syncFile(this.file);
      await this.file.close();
      await rename(this.temporary, this.path);
    });
    return this.#rows;
  }

  /** Leaves nothing behind; also after a `close` that failed. */
  async abort(): Promise<void> {
    await this.file.close().catch(() => {});
    await rm(this.temporary, { force: true });
  }

  async #write(vectors: NpyArray): Promise<void> {
    const bytes = new Uint8Array(vectors.buffer, vectors.byteOffset, vectors.byteLength);
    let position = writtenHeaderBytes + this.#rows * this.dimensions * bytesPerValue[this.dtype];
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await this.file.write(bytes, done, bytes.length - done, position);
      done += bytesWritten;
      position += bytesWritten;
    }
  }
}

function headerBytes(rows: number, dimensions: number, dtype: NpyDtype): Buffer {
  const text = `{'descr': '${descriptions[dtype]}', 'fortran_order': False, 'shape': (${rows}, ${dimensions}), }`;
  const header = Buffer.alloc(writtenHeaderBytes, ' ', 'latin1');
  magic.copy(header);
  header.writeUInt8(1, 6);
  header.writeUInt8(0, 7);
  header.writeUInt16LE(writtenHeaderBytes - 10, 8);
  header.write(text, 10, 'latin1');
  header.write('\n', writtenHeaderBytes - 1, 'latin1');
  return header;
}

/** The dictionary's text, and where the values begin. */
async function readHeaderText(path: string, file: FileHandle): Promise<{ text: string; offset: number }> {
  const start = Buffer.alloc(12);
  await readExactly(path, file, start, 0);
  if (!start.subarray(0, 6).equals(magic)) throw malformed(path, 'a NumPy file', 'other bytes');
  const major = start.readUInt8(6);
  if (major !== 1 && major !== 2) throw malformed(path, 'NumPy format 1.0 or 2.0', `format ${major}`);
  const begin = major === 1 ? 10 : 12;
  const length = major === 1 ? start.readUInt16LE(8) : start.readUInt32LE(8);
  const { size } = await file.stat();
  if (length > size) throw malformed(path, `a header within ${size} bytes`, `one of ${length} bytes`);
  const text = Buffer.alloc(length);
  await readExactly(path, file, text, begin);
  return { text: text.toString('latin1'), offset: begin + length };
}

function parseHeader(path: string, header: { text: string; offset: number }): NpyHeader {
  const { text, offset } = header;
  const descr = /'descr':\s*'([^']*)'/.exec(text)?.[1];
  const dtype = (Object.keys(descriptions) as NpyDtype[]).find((name) => descriptions[name] === descr);
  if (!dtype)
    throw malformed(path, "values of type '<f4', '<f2', '|i1' or '|u1'", descr ?? text.slice(0, 80));
  if (!/'fortran_order':\s*False/.test(text)) throw malformed(path, 'C order', 'Fortran order');
  const shape = /'shape':\s*\(\s*(\d+)\s*,\s*(\d+)\s*,?\s*\)/.exec(text);
  const [rows, dimensions] = [Number(shape?.[1]), Number(shape?.[2])];
  if (!shape || dimensions < 1 || !Number.isSafeInteger(rows * dimensions * 4 + offset)) {
    throw malformed(path, 'a two-dimensional shape', /'shape':[^)]*\)?/.exec(text)?.[0] ?? text.slice(0, 80));
  }
  return { dtype, rows, dimensions, offset };
}

async function readExactly(
  path: string,
  file: FileHandle,
  bytes: Uint8Array,
  position: number,
): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesRead } = await file.read(bytes, done, bytes.length - done, position + done);
    if (bytesRead === 0) throw malformed(path, `${bytes.length} bytes from ${position} on`, `${done}`);
    done += bytesRead;
  }
}

async function openToRead(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r');
  } catch (cause) {
    throw fileError(path, cause);
  }
}

async function withFile<T>(path: string, use: (file: FileHandle) => Promise<T>): Promise<T> {
  const file = await openToRead(path);
  try {
    return await use(file);
  } catch (cause) {
    throw fileError(path, cause);
  } finally {
    await file.close();
  }
}

async function writing<T>(path: string, write: () => Promise<T>): Promise<T> {
  try {
    return await write();
  } catch (cause) {
    throw new XlembedError(
      'FILE_WRITE_FAILED',
      `${path} cannot be written: ${(cause as Error).message}`,
      'check space and rights',
      { cause },
    );
  }
}

function malformed(path: string, expected: string, received: string): XlembedError {
  return new XlembedError(
    'MALFORMED_FILE',
    `expected ${expected} in ${path}, received ${received}`,
    "write it with numpy.save of an (N, D) array of dtype 'float32'",
  );
}
