import { execFileSync } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { XlembedError } from '../../errors.js';
import type { EncoderDtype } from '../../native.js';
import { cacheFolder } from '../cache_folder.js';
import type { Console } from '../console.js';
import { MAX_TOKENS } from './encode_model.js';
import { PeerScript, peerPython } from './python_peer.js';

export const ENCODE_PEERS = ['sentence-transformers', 'onnxruntime', 'transformers.js'] as const;
export type EncodePeer = (typeof ENCODE_PEERS)[number];

/** What each peer can compute in. */
const dtypes: Record<EncodePeer, readonly EncoderDtype[]> = {
  'sentence-transformers': ['float32', 'bfloat16', 'float16'],
  onnxruntime: ['float32', 'int8'],
  'transformers.js': ['float32', 'int8'],
};

/** The version that bench/peers/encode.mjs was written for. */
const transformersJs = '@huggingface/transformers@^4.3.1';

export interface PeerRun {
  seconds: number;
  /** Of the first texts, (texts, D). */
  sample: number[][];
}

/** The peers' processes, asked line by line; each is started when it is first needed. */
export class EncodePeers implements Disposable {
  readonly #python: PeerScript | null = null;
  readonly #node: PeerScript | null = null;

  private constructor(
    readonly names: readonly EncodePeer[],
    python: string | null,
    node: string | null,
    threads: number,
    device: string,
  ) {
    if (python) {
      const flags = ['--threads', String(threads), '--device', device];
      this.#python = new PeerScript('encode.py', python, flags);
    }
    if (node) {
      this.#node = new PeerScript('encode.mjs', process.execPath, [
        '--packages',
        node,
        '--threads',
        String(threads),
      ]);
    }
  }

  /**
   * Installs what these peers need, each into a folder of its own in the cache; on a GPU sentence-transformers alone.
   * Throws PEER_FAILED.
   */
  static async open(
    wanted: readonly EncodePeer[],
    python: string | undefined,
    threads: number,
    device: string,
    console: Console,
  ): Promise<EncodePeers> {
    const names = wanted.filter((name) => device === 'cpu' || name === 'sentence-transformers');
    const needsPython = names.some((name) => name !== 'transformers.js');
    const own = needsPython ? peerPython('encode_requirements.txt', python, console) : null;
    const node = names.includes('transformers.js') ? await nodePackages(console) : null;
    return new EncodePeers(names, own, node, threads, device);
  }

  /** Peers that compute in this type and cut texts so; transformers.js cuts where the model's files say. */
  able(dtype: EncoderDtype, maxTokens: number): EncodePeer[] {
    const cuts = (name: EncodePeer) => name !== 'transformers.js' || maxTokens === MAX_TOKENS;
    return this.names.filter((name) => dtypes[name].includes(dtype) && cuts(name));
  }

  async versions(): Promise<Record<string, string>> {
    const all = await Promise.all([this.#python?.versions(), this.#node?.versions()]);
    return Object.assign({}, ...all);
  }

  /** Writes the ONNX files that some of them read beside the model, unless they are there. */
  async exportOnnx(folder: string): Promise<void> {
    if (this.names.every((name) => name === 'sentence-transformers')) return;
    if (!this.#python) {
      if (existsSync(join(folder, 'onnx', 'model.onnx'))) return;
      throw new XlembedError('PEER_FAILED', 'no ONNX file of the model', 'run once with --peers onnxruntime');
    }
    await this.#python.ask({ command: 'export', folder });
  }

  run(
    name: EncodePeer,
    dtype: EncoderDtype,
    folder: string,
    texts: string[],
    maxTokens: number,
  ): Promise<PeerRun> {
    const process = name === 'transformers.js' ? this.#node : this.#python;
    return process!.ask({ command: 'run', name, dtype, folder, texts, maxTokens }) as Promise<PeerRun>;
  }

  [Symbol.dispose](): void {
    this.#python?.[Symbol.dispose]();
    this.#node?.[Symbol.dispose]();
  }
}

/** A folder with node_modules that has transformers.js. */
async function nodePackages(console: Console): Promise<string> {
  const folder = join(cacheFolder(), 'peers-transformers.js');
  if (existsSync(join(folder, 'complete'))) return folder;
  console.info(`installing transformers.js into ${folder}`);
  await mkdir(folder, { recursive: true });
  try {
    writeFileSync(join(folder, 'package.json'), '{"private": true}');
    // Its packages bring what the CPU needs; their scripts would fetch what a GPU does.
    const flags = ['--ignore-scripts', '--no-audit', '--no-fund'];
    execFileSync('npm', ['install', ...flags, transformersJs], {
      cwd: folder,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    writeFileSync(join(folder, 'complete'), '');
  } catch (cause) {
    rmSync(folder, { recursive: true, force: true });
    throw new XlembedError(
      'PEER_FAILED',
      `transformers.js cannot be installed: ${(cause as Error).message.trim().split('\n').at(-1)}`,
      'name the peers without it: --peers sentence-transformers onnxruntime',
      { cause },
    );
  }
  return folder;
}
