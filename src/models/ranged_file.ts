import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { XlembedError } from '../errors.js';
import { fileError } from '../files/file_error.js';
import { LARGEST_POINTER_BYTES, requireNoPointer } from '../files/lfs_pointer.js';

/** A file that is read in ranges which are checked against its size before anything is allocated. */
export class RangedFile {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  private readonly descriptor: number;

  /** Throws FILE_NOT_FOUND or FILE_READ_FAILED. */
  constructor(path: string) {
    this.path = path;
    try {
      this.descriptor = openSync(path, 'r');
    } catch (cause) {
      throw fileError(path, cause);
    }
    const stats = fstatSync(this.descriptor);
    this.size = stats.size;
    if (!stats.isFile()) {
      closeSync(this.descriptor);
      throw new XlembedError('FILE_READ_FAILED', `${path} is not a regular file`, 'give the path of a file');
    }
    if (this.size <= LARGEST_POINTER_BYTES) this.#requireNoPointer();
  }

  #requireNoPointer(): void {
    try {
      requireNoPointer(this.path, this.read(0, this.size));
    } catch (cause) {
      this.close();
      throw cause;
    }
  }

  /** Bytes [offset, offset + length). The caller has checked that they lie inside the file. */
  read(offset: number, length: number): Buffer {
    if (offset < 0 || length < 0 || offset + length > this.size) {
      throw new RangeError(
        `bytes [${offset}, ${offset + length}) lie outside ${this.path} (${this.size} bytes)`,
      );
    }
    const bytes = Buffer.alloc(length);
    let filled = 0;
    while (filled < length) {
      const count = this.readSome(bytes, filled, offset + filled);
      if (count === 0) throw new XlembedError('FILE_READ_FAILED', `${this.path} shrank while it was read`);
      filled += count;
    }
    return bytes;
  }

  private readSome(into: Buffer, at: number, position: number): number {
    try {
      return readSync(this.descriptor, into, at, into.length - at, position);
    } catch (cause) {
      throw fileError(this.path, cause);
    }
  }

  close(): void {
    closeSync(this.descriptor);
  }
}

/** Opens, hands over, and closes whatever happens. */
export function withFile<T>(path: string, use: (file: RangedFile) => T): T {
  const file = new RangedFile(path);
  try {
    return use(file);
  } finally {
    file.close();
  }
}

/** True for a name that cannot lead out of the folder it stands in. */
export function isPlainFileName(name: string): boolean {
  return /^[^/\\\0]+$/.test(name) && name !== '.' && name !== '..';
}
