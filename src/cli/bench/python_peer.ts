import { type ChildProcessByStdio, execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { XlembedError } from '../../errors.js';
import { cacheFolder } from '../cache_folder.js';
import type { Console } from '../console.js';

const fileOf = (name: string) => fileURLToPath(new URL(`../../../bench/peers/${name}`, import.meta.url));

/**
 * A Python that has what bench/peers/`requirements` lists: `python` itself when given, else that of a virtual
 * environment in the cache, made at first use. Throws FILE_NOT_FOUND where the package lies without bench/, and
 * PEER_FAILED.
 */
export function peerPython(requirements: string, python: string | undefined, console: Console): string {
  const list = fileOf(requirements);
  if (!existsSync(list)) {
    throw new XlembedError('FILE_NOT_FOUND', `no ${list}`, 'peers are measured from a checkout of xlembed');
  }
  if (python) return python;
  const wanted = createHash('sha256').update(readFileSync(list)).digest('hex').slice(0, 12);
  const folder = join(cacheFolder(), `peers-${wanted}`);
  const own = join(folder, 'bin', 'python');
  if (existsSync(join(folder, 'complete'))) return own;
  console.info(`installing the peers into ${folder}`);
  const install = [
    ['python3', ['-m', 'venv', folder]],
    [own, ['-m', 'pip', 'install', '--quiet', '-r', list]],
    [own, ['-c', `open(${JSON.stringify(join(folder, 'complete'))}, "w").close()`]],
  ] as const;
  try {
    for (const [command, args] of install)
      execFileSync(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  } catch (cause) {
    rmSync(folder, { recursive: true, force: true });
    throw new XlembedError(
      'PEER_FAILED',
      `the peers cannot be installed: ${(cause as Error).message.trim().split('\n').at(-1)}`,
      `give a Python that has them: --python <path> (${list})`,
      { cause },
    );
  }
  return own;
}

/** Memory that a peer frees stays with it, as ours does (glibc, "Memory Allocation Tunable Parameters"). */
const KEPT_MEMORY = {
  MALLOC_MMAP_THRESHOLD_: String(2 ** 32),
  MALLOC_TRIM_THRESHOLD_: String(2 ** 33),
  MALLOC_TOP_PAD_: String(2 ** 28),
};

/** A script of bench/peers, asked line by line in JSON. */
export class PeerScript implements Disposable {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: Interface;
  #answer: { resolve: (line: string) => void; reject: (error: Error) => void } | undefined;
  #ended: XlembedError | undefined;

  constructor(script: string, program: string, options: readonly string[]) {
    this.#child = spawn(program, [fileOf(script), ...options], {
      stdio: ['pipe', 'pipe', 'inherit'],
      // A peer at its fastest: its threads wait as they like.
      env: { ...process.env, ...KEPT_MEMORY, OMP_WAIT_POLICY: undefined, PYTHONUNBUFFERED: '1' },
    });
    this.#lines = createInterface({ input: this.#child.stdout });
    this.#lines.on('line', (line) => this.#answer?.resolve(line));
    this.#child.on('error', (error) => this.#end(error.message));
    this.#child.on('exit', (code, signal) => this.#end(`ended with ${signal ?? `exit code ${code}`}`));
    this.#child.stdin.on('error', () => {});
  }

  /** Version of each peer. */
  async versions(): Promise<Record<string, string>> {
    return (await this.ask({ command: 'versions' })) as Record<string, string>;
  }

  /** Throws PEER_FAILED when the answer is an error or the process has ended. */
  async ask(question: object): Promise<unknown> {
    if (this.#ended) throw this.#ended;
    const line = await new Promise<string>((resolve, reject) => {
      this.#answer = { resolve, reject };
      this.#child.stdin.write(`${JSON.stringify(question)}\n`);
    });
    const answer = JSON.parse(line) as { error?: string };
    if (answer.error) throw new XlembedError('PEER_FAILED', answer.error, 'run without --peers');
    return answer;
  }

  #end(why: string): void {
    this.#ended ??= new XlembedError('PEER_FAILED', `the process of the peers ${why}`, 'run without --peers');
    this.#answer?.reject(this.#ended);
  }

  [Symbol.dispose](): void {
    this.#child.stdin.end();
    this.#lines.close();
    this.#child.kill();
  }
}

/** One in Python, with so many threads. */
export class PythonPeer extends PeerScript {
  constructor(script: string, python: string, threads: number) {
    super(script, python, ['--threads', String(threads)]);
  }
}
