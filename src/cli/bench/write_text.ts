import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { XlembedError } from '../../errors.js';

/** Writes a file and the folders above it. Throws FILE_WRITE_FAILED. */
export async function writeText(path: string, text: string): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text);
  } catch (cause) {
    const message = `${path} cannot be written: ${(cause as Error).message}`;
    throw new XlembedError('FILE_WRITE_FAILED', message, '', { cause });
  }
}
