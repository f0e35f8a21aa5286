import { randomBytes } from 'node:crypto';
import { statSync } from 'node:fs';
import { copyFile, mkdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { z } from 'zod';
import { XlembedError } from '../../errors.js';
import { fileError } from '../../files/file_error.js';
import { writeFileBeside } from '../../files/write_file.js';
import { readJson } from '../json_file.js';
import { REMOTE_FILE, type RemoteFile } from './files.js';
import { isCommit } from './name.js';

const LISTING = z.object({ files: z.array(REMOTE_FILE) });

const NO_FILE = new Set(['ENOENT', 'ENOTDIR', 'EISDIR', 'ELOOP']);
/** Of symlink on FAT, on shares and on some cloud drives. */
const NO_LINKS = new Set(['EPERM', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP']);

/**
 * One model in the cache that all Hugging Face libraries share:
 *
 *     models--OWNER--NAME/blobs/DIGEST                    contents
 *                        /snapshots/COMMIT/PATH           symbolic links to them
 *                        /refs/REVISION                   the commit of a branch or tag
 *                        /.xlembed/COMMIT.json            the files that make COMMIT complete; ours alone
 *
 * Layout: https://huggingface.co/docs/huggingface_hub/guides/manage-cache
 */
export class ModelCache {
  /** models--OWNER--NAME. */
  readonly folder: string;
  readonly #locks: string;

  constructor(cacheFolder: string, repository: string) {
    const name = ['models', ...repository.split('/')].join('--');
    this.folder = join(cacheFolder, name);
    this.#locks = join(cacheFolder, '.locks', name);
  }

  snapshot(commit: string): string {
    return join(this.folder, 'snapshots', commit);
  }

  blob({ digest }: RemoteFile): string {
    return join(this.folder, 'blobs', digest);
  }

  /** One for all revisions: they share blobs. */
  get lock(): string {
    return join(this.#locks, 'xlembed.lock');
  }

  /** The commit that a revision had when it was last fetched. Throws FILE_READ_FAILED. */
  async commitOf(revision: string): Promise<string | undefined> {
    if (isCommit(revision)) return revision;
    const path = join(this.folder, 'refs', revision);
    const text = await readFile(path, 'utf8').catch((cause) => {
      if (NO_FILE.has(cause.code)) return '';
      throw fileError(path, cause);
    });
    return isCommit(text.trim()) ? text.trim() : undefined;
  }

  async writeRef(revision: string, commit: string): Promise<void> {
    if ((await this.commitOf(revision)) === commit) return;
    await writeText(join(this.folder, 'refs', revision), commit);
  }

  /** What a complete snapshot holds; undefined when the snapshot came from another program, or the listing is damaged. */
  readListing(commit: string): RemoteFile[] | undefined {
    try {
      return LISTING.parse(readJson(this.#listing(commit))).files;
    } catch {
      return undefined;
    }
  }

  async writeListing(commit: string, files: readonly RemoteFile[]): Promise<void> {
    await writeText(this.#listing(commit), `${JSON.stringify({ files }, null, 1)}\n`);
  }

  #listing(commit: string): string {
    return join(this.folder, '.xlembed', `${commit}.json`);
  }

  /** The files of a listing that the snapshot lacks, or has with another size. */
  missing(commit: string, files: readonly RemoteFile[]): RemoteFile[] {
    return files.filter((file) => !hasSize(join(this.snapshot(commit), file.path), file.size));
  }

  hasBlob(file: RemoteFile): boolean {
    return hasSize(this.blob(file), file.size);
  }

  /** Makes a blob appear in a snapshot: as a link, or as a copy where the file system knows no links. */
  async link(commit: string, file: RemoteFile): Promise<void> {
    const pointer = join(this.snapshot(commit), file.path);
    const temporary = `${pointer}.${randomBytes(6).toString('hex')}.tmp`;
    try {
      await mkdir(dirname(pointer), { recursive: true });
      // Relative, so that the cache can be moved.
      const target = relative(dirname(pointer), this.blob(file));
      await symlink(target, temporary).catch((cause) => {
        if (!NO_LINKS.has(cause.code)) throw cause;
        return copyFile(this.blob(file), temporary);
      });
      await rename(temporary, pointer);
    } catch (cause) {
      await rm(temporary, { force: true });
      throw cacheError(pointer, cause);
    }
  }
}

function hasSize(path: string, size: number): boolean {
  try {
    const stats = statSync(path);
    return stats.isFile() && stats.size === size;
  } catch {
    // Not there, behind a link that leads back to itself, or where this user may not look.
    return false;
  }
}

async function writeText(path: string, text: string): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true });
  } catch (cause) {
    throw cacheError(path, cause);
  }
  await writeFileBeside(path, (temporary) => writeFile(temporary, text));
}

/** FILE_WRITE_FAILED for a cache that cannot be written. */
export function cacheError(path: string, cause: unknown): XlembedError {
  if (cause instanceof XlembedError) return cause;
  return new XlembedError(
    'FILE_WRITE_FAILED',
    `${path} cannot be written: ${(cause as Error).message}`,
    'check space and rights, set HF_HUB_CACHE to another folder, or take what this one holds with --offline',
    { cause },
  );
}
