import { cpus, loadavg } from 'node:os';
import { XlembedError } from '../../errors.js';
import { loadNative, nativeCall } from '../../native.js';
import type { BenchmarkResults, Bounds, CaseResult } from '../../report/benchmark_results.js';
import { versions } from '../versions.js';
import { chosenCases, type KernelCase, kernelPlan, nativeOptions, type Plan } from './cases.js';
import { boundsOf, measureCase } from './measure.js';
import { nameOf } from './merge.js';
import { PeerProcess } from './peers.js';

export interface BenchKernelsOptions {
  device: string;
  /** Ops; empty: all. */
  only: string[];
  /** Cases whose shapes have these sizes. */
  sizes: Record<string, number>;
  quick: boolean;
  /** Of a Python that has the peers; null leaves them out. */
  python: string | null;
  /** Before each case and at the end, with the results so far. */
  onProgress?: (done: number, total: number, results: BenchmarkResults) => void | Promise<void>;
}

type Failure = BenchmarkResults['failures'][number];

/**
 * Measures what the machine can do, then every case. A case that fails is recorded and the next one begins; without
 * bounds there is nothing to compare with, and their failure is thrown (DEVICE_UNAVAILABLE and the like).
 */
export async function benchKernels(options: BenchKernelsOptions): Promise<BenchmarkResults> {
  const { device, quick, only, sizes } = options;
  const plan = kernelPlan(device, quick);
  const chosen = chosenCases(plan, only, sizes);
  const loadBefore = load();
  const machine = await machineName(plan, device);
  using peers = options.python ? new PeerProcess(options.python, loadNative().info().threads) : null;
  const peerVersions = peers ? await peers.versions() : {};
  const bounds = await measureBounds(plan, device, quick);
  const results: BenchmarkResults = {
    createdAt: new Date().toISOString(),
    command: commandOf(options),
    ...{ machine, device, threads: loadNative().info().threads, quick, loadBefore, loadAfter: load() },
    versions: { ...versions(), ...peerVersions },
    ...{ bounds, cases: [], failures: [] },
  };
  const settings = { device, rotatedBytes: plan.rotatedBytes, bounds, peers, ...roundsOf(quick, device) };
  for (const [done, kernel] of chosen.entries()) {
    await options.onProgress?.(done, chosen.length, results);
    try {
      results.cases.push(await measureCase(kernel, settings));
    } catch (error) {
      results.failures.push(failureOf(kernel, error));
    }
  }
  results.loadAfter = load();
  await options.onProgress?.(chosen.length, chosen.length, results);
  return results;
}

/** A GPU has no neighbours: its times hardly differ from round to round. */
const roundsOf = (quick: boolean, device: string) =>
  quick
    ? { minimumRounds: 5, seconds: 0.5 }
    : { minimumRounds: 7, seconds: device.startsWith('cuda') ? 0.5 : 5 };

const load = () => Number(loadavg()[0]!.toFixed(2));

/** What the machine can do: bytes copied and read, operations of matrix products, in a second. */
export async function measureBounds(
  { bounds, rotatedBytes }: Plan,
  device: string,
  quick: boolean,
): Promise<Bounds> {
  const results: CaseResult[] = [];
  for (const kernel of bounds) {
    results.push(
      await measureCase(kernel, {
        device,
        rotatedBytes,
        bounds: null,
        peers: null,
        ...roundsOf(quick, device),
      }),
    );
  }
  return boundsOf(results);
}

/** The name of the GPU, or of the processor, which virtual machines often give without its model. */
export async function machineName({ cases, rotatedBytes }: Plan, device: string): Promise<string> {
  const smallest: KernelCase = { ...cases[0]!, op: 'matmul', shape: { size: 1 } };
  const native = await nativeCall(() =>
    loadNative().createKernelBenchmark(nativeOptions(smallest, device, rotatedBytes)),
  );
  const name = native.deviceName;
  native.dispose();
  const processor = cpus()[0]?.model.trim() ?? 'unknown processor';
  return name || (loadNative().info().cpuCapability.includes('AMX') ? `${processor} with AMX` : processor);
}

/** A bug is no result: only coded errors are recorded. */
function failureOf(kernel: KernelCase, error: unknown): Failure {
  if (!(error instanceof XlembedError)) throw error;
  return { case: nameOf(kernel), error: `${error.code}: ${error.message.split('\n')[0]}` };
}

function commandOf({ device, only, sizes, quick, python }: BenchKernelsOptions): string {
  const shape = Object.entries(sizes).map(([name, size]) => `${name}=${size}`);
  const flags = [
    only.length > 0 && `--only ${only}`,
    shape.length > 0 && `--shape ${shape}`,
    quick && '--quick',
    device !== 'cpu' && `--device ${device}`,
  ];
  return ['xlembed bench kernels', ...flags, python && '--peers'].filter(Boolean).join(' ');
}
