import { readFile, rm, writeFile } from 'node:fs/promises';
import { XlembedError } from '../errors.js';

/**
 * A file that names the process at work in a folder, and when it began: the number of one that is gone may be given to
 * another. A process of another machine or container is not seen, and holds nobody up.
 */
export class RunLock {
  #held = false;

  constructor(
    private readonly folder: string,
    /** Of the file. */
    private readonly path: string,
  ) {}

  /** Throws FILE_EXISTS while another run lives. */
  async requireFree(): Promise<void> {
    const owner = await readFile(this.path, 'utf8').catch(() => '');
    const pid = owner.split(' ')[0]!;
    if (owner === '' || owner !== (await identityOf(pid))) return;
    throw new XlembedError(
      'FILE_EXISTS',
      `a run is at work in ${this.folder}: process ${pid}`,
      'wait until it has ended, or choose another folder',
    );
  }

  /** The folder of the file is there. Throws FILE_EXISTS when another run was faster. */
  async take(): Promise<void> {
    await this.requireFree();
    await rm(this.path, { force: true });
    const mine = await identityOf('self');
    await writeFile(this.path, mine, { flag: 'wx' }).catch(async (cause) => {
      await this.requireFree();
      throw cause;
    });
    this.#held = true;
  }

  async release(): Promise<void> {
    if (this.#held) await rm(this.path, { force: true });
    this.#held = false;
  }
}

/** Number and start of a process, by proc_pid_stat(5); '' for one that is not there, or waits to be buried. */
async function identityOf(pid: string): Promise<string> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const [, number, start] = /^(\d+) .*\) [^ZX](?: \S+){18} (\d+) /s.exec(text) ?? [];
  return number === undefined ? '' : `${number} ${start}`;
}
