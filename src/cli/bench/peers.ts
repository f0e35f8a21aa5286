import { type KernelCase, seed } from './cases.js';
import { PythonPeer } from './python_peer.js';

export interface Peer {
  name: string;
  /** Seconds that one call takes. */
  run(repeats: number): Promise<number>;
  /** The Euclidean length of its results. */
  norm(): Promise<number>;
}

/** bench/peers/kernels.py: it holds the same inputs and is timed in the same rounds. */
export class PeerProcess extends PythonPeer {
  constructor(python: string, threads: number) {
    super('kernels.py', python, threads);
  }

  /** Makes a case's inputs; the peers that can do its work, none for an op without. Throws PEER_FAILED. */
  async open(kernel: KernelCase): Promise<Peer[]> {
    const { op, shape } = kernel;
    const { names } = (await this.ask({ command: 'open', op, shape, seed })) as { names: string[] };
    return names.map((name) => ({
      name,
      run: async (repeats) => {
        const { seconds } = (await this.ask({ command: 'run', name, repeats })) as { seconds: number };
        return seconds;
      },
      norm: async () => ((await this.ask({ command: 'norm', name })) as { norm: number }).norm,
    }));
  }
}
