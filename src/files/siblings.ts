import { randomBytes } from 'node:crypto';
import { fsync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';

const flush = promisify(fsync);

/** `old`: a whole folder that has stepped aside for another (replaceFolder). */
export const SIBLING = /^\.(.+)\.[0-9a-f]{12}\.(tmp|old)$/;

/** A name in the same folder, so that the rename stays on one file system. */
export function siblingOf(path: string, kind: 'tmp' | 'old' = 'tmp'): string {
  return join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}.${kind}`);
}

/** The name of a sibling that a process which was killed has left. */
export function isLeftover(name: string): boolean {
  return SIBLING.test(name);
}

/** Under Yarn's Plug'n'Play the handle cannot; under Node's permission model it alone may. */
export function syncFile(file: FileHandle): Promise<void> {
  return process.versions.pnp ? flush(file.fd) : file.sync();
}

/** Waits until a file, or the names in a folder, are on the disk. */
export async function syncPath(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await syncFile(handle);
  } finally {
    await handle.close();
  }
}
