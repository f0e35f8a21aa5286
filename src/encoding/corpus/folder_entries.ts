import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { XlembedError } from '../../errors.js';
import { writeError } from '../../files/file_error.js';
import { isLeftover } from '../../files/siblings.js';
import type { FolderKind } from '../../files/write_folder.js';
import type { ShardRecord } from './output_folder.js';

export const MANIFEST = 'manifest.json';
/** Holds what a run needs to go on; gone when the manifest is there. */
export const PROGRESS = '.progress';

export async function entriesOf(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT') return [];
    if (code !== 'ENOTDIR') throw writeError(folder, cause);
    throw new XlembedError('FILE_EXISTS', `${folder} is no folder`, 'choose another folder', { cause });
  }
}

/** What xlembed writes into a folder of embeddings. */
export function isOurs(name: string): boolean {
  const known =
    /^(manifest\.json|manifest\.incomplete\.json|\.progress|shard-\d{5,}\..*|embeddings\.npy|ids\.jsonl|origin\.json|index\.faiss|faiss|faiss\.building)$/;
  return known.test(name) || isLeftover(name);
}

export const EMBEDDINGS_FOLDER: FolderKind = { what: 'embeddings', isOurs };

export function folderExists(folder: string, entries: string[]): XlembedError {
  const foreign = entries.find((name) => !isOurs(name));
  if (foreign !== undefined) {
    return new XlembedError(
      'FILE_EXISTS',
      `${folder} exists and holds ${foreign}, which is no file of embeddings`,
      'choose another folder',
    );
  }
  const unfinished = entries.includes(PROGRESS) && !entries.includes(MANIFEST);
  return new XlembedError(
    'FILE_EXISTS',
    unfinished ? `${folder} holds a run that has not ended` : `${folder} exists`,
    unfinished
      ? 'go on with it (resume), or replace it (overwrite)'
      : 'choose another folder, or overwrite it',
  );
}

/** Throws MALFORMED_FILE where a file of these shards is not there, or has another size. */
export async function requireFiles(folder: string, shards: readonly ShardRecord[]): Promise<void> {
  const lost: string[] = [];
  for (const { name, bytes } of shards.flatMap(({ files }) => files)) {
    const size = await stat(join(folder, name)).then(
      (found) => found.size,
      () => undefined,
    );
    if (size !== bytes)
      lost.push(size === undefined ? `${name} is missing` : `${name} has ${size} bytes of ${bytes}`);
  }
  if (lost.length === 0) return;
  const more = lost.length > 5 ? `; ${lost.length - 5} more` : '';
  throw new XlembedError(
    'MALFORMED_FILE',
    `${folder} lacks what its manifest names: ${lost.slice(0, 5).join('; ')}${more}`,
    'bring the files back, or start again with overwrite',
  );
}
