import { mkdir, readdir, readFile, rename, rm, unlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { XlembedError } from '../errors.js';
import { siblingOf } from '../files/siblings.js';

const OWNER = 'owner';
/** Each is lost to another process that is about to take the lock. */
const MOST_TRIES = 1000;

/**
 * A folder with a file that names the process at work, and when it began: the number of one that is gone may be given to
 * another. A process of another machine or container is not seen, and holds nobody up.
 */
export class RunLock {
  #held = false;

  constructor(
    private readonly folder: string,
    /** Of the lock's own folder. */
    private readonly path: string,
  ) {}

  /** Throws FILE_EXISTS while another run lives. */
  async requireFree(): Promise<void> {
    await this.#deadOwner();
  }

  /** The folder that the lock lies in is there. Throws FILE_EXISTS when another run was faster. */
  async take(): Promise<void> {
    const mine = siblingOf(this.path);
    try {
      await mkdir(mine);
      await writeFile(join(mine, OWNER), await identityOf('self'));
      // No folder can be renamed over one with content: of several only one gets the name, be it the lock's or that of
      // a dead run's lock, which stays until the end, so that nobody who has seen it late takes a living one away.
      for (let tries = 0; !(await renamed(mine, this.path, ['ENOTEMPTY', 'EEXIST', 'ENOTDIR'])); tries++) {
        if (tries === MOST_TRIES) throw new Error(`${this.path} names no process; remove it`);
        const dead = await this.#deadOwner();
        // Unread, it is another one by now, perhaps a living one; or a file, as versions before made it.
        if (dead === undefined) await unlink(this.path).catch(() => {});
        else
          await renamed(this.path, `${this.path}.${dead.replace(' ', '-')}`, [
            'ENOTEMPTY',
            'EEXIST',
            'ENOENT',
          ]);
      }
      this.#held = true;
    } finally {
      await rm(mine, { recursive: true, force: true });
    }
  }

  /** Removes what else lies where the lock does. */
  async clear(): Promise<void> {
    // Others may be about to try theirs.
    await this.#remove((name) => !name.replace(/^\./, '').startsWith(basename(this.path)));
  }

  async release(): Promise<void> {
    if (!this.#held) return;
    this.#held = false;
    await this.#remove((name) => name.startsWith(`${basename(this.path)}.`));
    // Renamed first: one that is half removed could be taken.
    const leaving = siblingOf(this.path);
    if (await renamed(this.path, leaving, ['ENOENT'])) await rm(leaving, { recursive: true, force: true });
  }

  async #remove(which: (name: string) => boolean): Promise<void> {
    const parent = dirname(this.path);
    for (const name of (await readdir(parent).catch(() => [])).filter(which))
      await rm(join(parent, name), { recursive: true, force: true });
  }

  /** Of the lock that is there; undefined where none can be read. Throws FILE_EXISTS while the owner lives. */
  async #deadOwner(): Promise<string | undefined> {
    const owner = await readFile(join(this.path, OWNER), 'utf8').catch((cause: NodeJS.ErrnoException) => {
      if (cause.code === 'ENOENT' || cause.code === 'ENOTDIR') return undefined;
      throw cause;
    });
    if (owner === undefined) return undefined;
    const pid = owner.split(' ')[0]!;
    if (owner === '' || owner !== (await identityOf(pid))) return owner;
    throw new XlembedError(
      'FILE_EXISTS',
      `a run is at work in ${this.folder}: process ${pid}`,
      'wait until it has ended, or choose another folder',
    );
  }
}

/** False for an error that is expected. */
async function renamed(from: string, to: string, expected: string[]): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (cause) {
    if (expected.includes((cause as NodeJS.ErrnoException).code ?? '')) return false;
    throw cause;
  }
}

/** Number and start of a process, by proc_pid_stat(5); '' for one that is not there, or waits to be buried. */
async function identityOf(pid: string): Promise<string> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const [, number, start] = /^(\d+) .*\) [^ZX](?: \S+){18} (\d+) /s.exec(text) ?? [];
  return number === undefined ? '' : `${number} ${start}`;
}
