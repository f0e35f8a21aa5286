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
  const { message } = cause as Error;
  return new XlembedError(
    'FILE_WRITE_FAILED',
    `${path} cannot be written: ${message}`,
    'check space and rights',
    {
      cause,
    },
  );
}
