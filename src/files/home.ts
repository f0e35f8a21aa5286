import { XlembedError } from '../errors.js';

/** Throws FILE_NOT_FOUND where the system knows no home folder, as for a user without a name in a container. */
export function withHome(read: () => string): string {
  try {
    return read();
  } catch (cause) {
    const remedy = 'set HOME, or both HF_HOME and XLEMBED_CACHE, to folders';
    throw new XlembedError('FILE_NOT_FOUND', 'this user has no home folder', remedy, { cause });
  }
}
