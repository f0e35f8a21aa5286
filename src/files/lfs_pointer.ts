import { XlembedError } from '../errors.js';

const BEGIN = 'version https://git-lfs.github.com/spec/';
/** Of a pointer, by git-lfs's specification. */
export const LARGEST_POINTER_BYTES = 1023;

/** Throws FILE_READ_FAILED for what `git clone` leaves of a large file where git-lfs is not installed. */
export function requireNoPointer(path: string, begin: Uint8Array): void {
  if (Buffer.from(begin.subarray(0, BEGIN.length)).toString('latin1') !== BEGIN) return;
  throw new XlembedError(
    'FILE_READ_FAILED',
    `${path} is git-lfs's pointer to a file`,
    'fetch the file itself: git lfs pull',
  );
}
