import { constants } from 'node:fs';
import { access, mkdir, open, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { XlembedError } from '../errors.js';
import { writeError } from './file_error.js';
import { siblingOf, syncPath } from './siblings.js';

/**
 * Writes a file next to `path`, then renames it into place: readers see the old file or the whole new one. Of a link,
 * what it leads to is replaced. `fill` gets a file that was created just now. Throws FILE_WRITE_FAILED, also for what is
 * no file; coded errors of `fill` pass through.
 */
export async function writeFileBeside(
  path: string,
  fill: (temporary: string) => Promise<void>,
): Promise<void> {
  const target = await replaceableFile(path);
  const temporary = siblingOf(target);
  try {
    await (await open(temporary, 'wx')).close();
    await fill(temporary);
    await syncPath(temporary);
    await rename(temporary, target);
    await syncPath(dirname(target));
  } catch (cause) {
    await rm(temporary, { force: true });
    throw writeError(path, cause);
  }
}

/** Where a rename may put a file: in place of /dev/null it would be the end of the device. */
async function replaceableFile(path: string): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  if (!found) return resolve(path);
  if (found.isFile()) return realpath(path);
  throw new XlembedError(
    'FILE_WRITE_FAILED',
    `${path} cannot be written: it is a ${found.isDirectory() ? 'folder' : 'device or a pipe'}`,
    'name a file',
  );
}

/** Writes a text beside and renames it into place, in folders that are made if need be. Throws FILE_WRITE_FAILED. */
export async function writeTextBeside(path: string, text: string | Uint8Array): Promise<void> {
  await makeFolder(dirname(path));
  await writeFileBeside(path, (temporary) => writeFile(temporary, text));
}

/**
 * Writes several texts, by path, as `writeTextBeside` does: none takes its place before all are written, and the
 * first does last. Throws FILE_WRITE_FAILED.
 */
export async function writeTextsBeside(
  texts: readonly (readonly [path: string, text: string])[],
): Promise<void> {
  const [first, ...rest] = texts;
  if (!first) return;
  const [path, text] = first;
  await makeFolder(dirname(path));
  await writeFileBeside(path, async (temporary) => {
    await writeFile(temporary, text);
    await writeTextsBeside(rest);
  });
}

/** Before long work whose result goes to `path`: makes its folder. Throws FILE_WRITE_FAILED where no file can be written. */
export async function requireWritable(path: string): Promise<void> {
  await makeFolder(dirname(path));
  await replaceableFile(path);
  await access(dirname(resolve(path)), constants.W_OK).catch((cause) => {
    throw writeError(path, cause);
  });
}

/** With the folders above it. Throws FILE_WRITE_FAILED. */
export async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true }).catch((cause) => {
    throw writeError(path, cause);
  });
}
