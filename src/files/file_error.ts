import { accessSync, constants } from 'node:fs';
import { dirname } from 'node:path';
import { XlembedError } from '../errors.js';

/** A failed read as FILE_NOT_FOUND or FILE_READ_FAILED, naming the path; coded errors pass as they are. */
export function fileError(path: string, cause: unknown): XlembedError {
  if (cause instanceof XlembedError) return cause;
  if (['ENOENT', 'ENOTDIR'].includes((cause as NodeJS.ErrnoException).code ?? '')) {
    return new XlembedError('FILE_NOT_FOUND', `${path} does not exist`, 'check the path', { cause });
  }
  if ((cause as NodeJS.ErrnoException).code === 'EISDIR') {
    return new XlembedError('FILE_READ_FAILED', `${path} is a folder`, 'name the files in it', { cause });
  }
  const hint = /\.(gz|zst)$/.test(path) ? 'the archive may be damaged or cut short' : '';
  return new XlembedError('FILE_READ_FAILED', `cannot read ${path}: ${(cause as Error).message}`, hint, {
    cause,
  });
}

/** FILE_WRITE_FAILED naming the path; coded errors pass as they are. */
export function writeError(path: string, cause: unknown): XlembedError {
  if (cause instanceof XlembedError) return cause;
  return new XlembedError(
    'FILE_WRITE_FAILED',
    `${path} cannot be written: ${reasonOf(cause as NodeJS.ErrnoException)}`,
    'check space and rights',
    {
      cause,
    },
  );
}

/** Where a file system is read-only, Node's recursive mkdir says that the folder to be made is missing. */
function reasonOf({ message, code, syscall, path = '/' }: NodeJS.ErrnoException): string {
  if (code !== 'ENOENT' || syscall !== 'mkdir') return message;
  for (let parent = dirname(path); ; parent = dirname(parent)) {
    try {
      accessSync(parent, constants.W_OK);
      return message;
    } catch (denied) {
      if ((denied as NodeJS.ErrnoException).code !== 'ENOENT') return (denied as Error).message;
    }
  }
}
