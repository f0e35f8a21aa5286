import { lstat, mkdir, readdir, realpath, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { XlembedError } from '../errors.js';
import { writeError } from './file_error.js';
import { isLeftover, SIBLING, siblingOf, syncPath } from './siblings.js';

/** What may be replaced by a new one: a folder that holds nothing but `isOurs`, named `what`. */
export interface FolderKind {
  what: string;
  isOurs: (name: string) => boolean;
}

/**
 * Writes a folder next to `folder`, then renames it into place. An existing target is refused (FILE_EXISTS) unless it may
 * be replaced by another of its kind; it then stays until the new one is complete. Throws FILE_WRITE_FAILED; coded errors
 * of `fill` pass through.
 */
export async function writeFolderBeside(
  folder: string,
  replaces: FolderKind | undefined,
  fill: (temporary: string) => Promise<void>,
): Promise<void> {
  const target = resolve(folder);
  if (replaces) await requireReplaceable(folder, replaces);
  else if (await isTaken(target)) throw folderExists(folder);
  const temporary = siblingOf(target);
  try {
    await mkdir(dirname(target), { recursive: true });
    await mkdir(temporary);
    await fill(temporary);
    await syncTree(temporary);
    // Another's may have come meanwhile.
    if (!replaces && (await isTaken(target))) throw folderExists(folder);
    await replaceFolder(temporary, target);
  } catch (cause) {
    await rm(temporary, { recursive: true, force: true });
    throw writeError(folder, cause);
  }
}

/** Throws FILE_EXISTS for a folder, if there is one, that holds anything else than one of this kind. */
export async function requireReplaceable(folder: string, { what, isOurs }: FolderKind): Promise<void> {
  if (!(await isTaken(folder))) return;
  const names = await readdir(folder).catch(() => {
    throw new XlembedError('FILE_EXISTS', `${folder} exists and is no folder that can be read`, CHOOSE);
  });
  const foreign = names.find((name) => !isOurs(name) && !isLeftover(name));
  if (foreign === undefined) return;
  throw new XlembedError(
    'FILE_EXISTS',
    `${folder} exists and holds ${foreign}, which is no file of ${what}`,
    CHOOSE,
  );
}

const CHOOSE = 'choose another folder';

function folderExists(folder: string): XlembedError {
  return new XlembedError('FILE_EXISTS', `${folder} exists`, 'choose another folder, or allow overwriting');
}

/**
 * A folder cannot be renamed over one that has content: the old one steps aside first. Where the process is killed in
 * between, restoreFolder puts it back.
 */
export async function replaceFolder(temporary: string, target: string): Promise<void> {
  const stepsAside = await isTaken(target);
  if (stepsAside) await rename(target, siblingOf(target, 'old'));
  try {
    await rename(temporary, target);
  } catch (cause) {
    await restoreFolder(target);
    const { code } = cause as NodeJS.ErrnoException;
    if (!stepsAside || (code !== 'ENOTEMPTY' && code !== 'EEXIST')) throw cause;
    // A reader that found the name free has put the old one back.
    return replaceFolder(temporary, target);
  }
  await syncPath(dirname(target));
  for (const old of await steppedAside(target)) {
    // Renamed first: what is half removed must not be put back.
    const leaving = siblingOf(target);
    await rename(old, leaving);
    await rm(leaving, { recursive: true, force: true });
  }
}

/** Whether something has this name, once restored: a folder, a file, or a link, be it one that leads nowhere. */
export async function isTaken(path: string): Promise<boolean> {
  await restoreFolder(path);
  return isHere(path);
}

/** Where `path` is missing: puts back what has stepped aside for another (replaceFolder) in a process that was killed. */
export async function restoreFolder(path: string): Promise<void> {
  const target = resolve(path);
  if (await isHere(target)) return;
  const [old] = await steppedAside(target);
  // Another may be faster, or the file system be read-only.
  if (old !== undefined) await rename(old, target).catch(() => {});
}

function isHere(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}

async function steppedAside(target: string): Promise<string[]> {
  const names = await readdir(dirname(target)).catch(() => []);
  return names.flatMap((name) => {
    const [, of, kind] = SIBLING.exec(name) ?? [];
    return of === basename(target) && kind === 'old' ? [join(dirname(target), name)] : [];
  });
}

/** Removes what processes that were killed have left of siblings in a folder; nobody may be writing there. */
export async function removeLeftovers(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const [, target, kind] = SIBLING.exec(name) ?? [];
    if (target === undefined) continue;
    if (kind === 'old') await restoreFolder(join(folder, target));
    await rm(join(folder, name), { recursive: true, force: true });
  }
}

/** Whether `path` is `folder` or lies in it, links followed: it would go with the folder. Both are there. */
export async function isWithin(folder: string, path: string): Promise<boolean> {
  const [outer, inner] = [await realpath(folder), await realpath(path)];
  return inner === outer || inner.startsWith(outer.endsWith(sep) ? outer : outer + sep);
}

async function syncTree(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    await (entry.isDirectory() ? syncTree(path) : syncPath(path));
  }
  await syncPath(folder);
}
