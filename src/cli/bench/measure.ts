import { loadNative, type NativeImplementation, nativeCall } from '../../native.js';
import {
  type Bounds,
  bfloat16Rate,
  type CaseResult,
  type ImplementationResult,
  int16Rate,
} from '../../report/benchmark_results.js';
import { type RoundOptions, repeatRounds } from './benchmark_js.js';
import { type KernelCase, nativeOptions } from './cases.js';
import { shapeText } from './merge.js';
import type { PeerProcess } from './peers.js';
import { median, medianDeviation, rounded } from './statistics.js';

export interface MeasureOptions extends RoundOptions {
  device: string;
  rotatedBytes: number;
  /** Measured before; null while they themselves are measured. */
  bounds: Bounds | null;
  peers: PeerProcess | null;
}

/** One way of doing a case's work, native or in another process. */
interface Runner extends NativeImplementation {
  run(repeats: number): Promise<number>;
  difference(reference: string): Promise<number>;
  /** Of its runs, beside inputs and results; -1 where it is not known. */
  extraBytes(): Promise<number>;
}

/** A sample lasts at least this long, so that clocks and launches do not show. */
const SAMPLE_SECONDS = 0.002;
const MOST_REPEATS = 2000;
/** A case that warms up for longer has rounds that need no seven repetitions. */
const LONG_WARM_UP_SECONDS = 10;

/**
 * Times every implementation of a case in turn, round by round, after a warm-up. Throws what the native side throws
 * (OUT_OF_MEMORY, DEVICE_UNAVAILABLE) and PEER_FAILED.
 */
export async function measureCase(kernel: KernelCase, options: MeasureOptions): Promise<CaseResult> {
  const { device, rotatedBytes, peers } = options;
  const native = await nativeCall(() =>
    loadNative().createKernelBenchmark(nativeOptions(kernel, device, rotatedBytes)),
  );
  try {
    const own = native.implementations.map(
      (implementation): Runner => ({
        ...implementation,
        run: (repeats) => nativeCall(() => native.run(implementation.name, repeats)),
        difference: (reference) => nativeCall(() => native.difference(implementation.name, reference)),
        extraBytes: () => nativeCall(() => native.extraBytes(implementation.name)),
      }),
    );
    const foreign = peers ? await peers.open(kernel) : [];
    const first = own[0]!;
    const others = foreign.map(
      (peer): Runner => ({
        ...{ bytes: first.bytes, operations: first.operations, arithmetic: 'float32', name: peer.name },
        run: peer.run,
        difference: async (reference) => {
          const expected = await nativeCall(() => native.norm(reference));
          return Math.abs((await peer.norm()) - expected) / expected;
        },
        extraBytes: async () => -1,
      }),
    );
    return await timeInTurn(kernel, [...own, ...others], options);
  } finally {
    native.dispose();
  }
}

async function timeInTurn(
  kernel: KernelCase,
  runners: Runner[],
  options: MeasureOptions,
): Promise<CaseResult> {
  const { samples, margin } = kernel.long
    ? { samples: await timeOnce(runners), margin: 0 }
    : await timeOften(kernel, runners, options);
  const peers = runners.flatMap(({ name }, i) =>
    kindOf(name) === 'xlembed' ? [] : [{ name, samples: samples[i]! }],
  );
  const reference = peers.find(({ name }) => kindOf(name) === 'peer')?.name;
  const implementations: ImplementationResult[] = [];
  for (const [i, runner] of runners.entries()) {
    // The first peer is always libtorch, in this process.
    const isCompared = reference && reference !== runner.name && kindOf(runner.name) !== 'products';
    const difference = isCompared ? await runner.difference(reference) : 0;
    const extraBytes = measuresMemory(kernel) ? await runner.extraBytes() : -1;
    implementations.push({
      ...judge(kernel, runner, samples[i]!, peers, difference, options.bounds),
      ...(extraBytes >= 0 && { extraBytes }),
    });
  }
  const { op, dtype, shape } = kernel;
  const rounds = samples[0]!.length;
  return { op, dtype, shape, rounds, roundMargin: rounded(margin), implementations };
}

/** Where memory is a reason for the op: of many small ones the system's counters tell nothing. */
const measuresMemory = ({ op }: KernelCase) => op === 'info_nce';

async function timeOften(kernel: KernelCase, runners: Runner[], options: MeasureOptions) {
  const repeats: number[] = [];
  const begin = performance.now();
  for (const runner of runners) repeats.push(await warmUp(runner));
  const isLong = performance.now() - begin > LONG_WARM_UP_SECONDS * 1e3;
  const samples = runners.map((): number[] => []);
  const round = async () => {
    for (const [i, runner] of runners.entries()) samples[i]!.push(await runner.run(repeats[i]!));
  };
  const margin = await repeatRounds(`${kernel.op} ${shapeText(kernel.shape)}`, round, {
    minimumRounds: isLong ? Math.min(3, options.minimumRounds) : options.minimumRounds,
    seconds: options.seconds,
  });
  return { samples, margin };
}

async function timeOnce(runners: Runner[]): Promise<number[][]> {
  const samples: number[][] = [];
  for (const runner of runners) samples.push([await runner.run(1)]);
  return samples;
}

/** Prepares and runs an implementation until it is warm; gives the calls that make one sample. */
async function warmUp(runner: Runner): Promise<number> {
  let seconds = await runner.run(1);
  for (let i = 0; i < 2 && seconds < 1; ++i) seconds = Math.min(seconds, await runner.run(1));
  return Math.min(MOST_REPEATS, Math.max(1, Math.ceil(SAMPLE_SECONDS / Math.max(seconds, 1e-9))));
}

function kindOf(name: string): ImplementationResult['kind'] {
  if (name.startsWith('xlembed')) return 'xlembed';
  return name.endsWith('products alone') ? 'products' : 'peer';
}

function judge(
  kernel: KernelCase,
  runner: Runner,
  samples: number[],
  peers: { name: string; samples: number[] }[],
  difference: number,
  bounds: Bounds | null,
): ImplementationResult {
  const kind = kindOf(runner.name);
  const compared = kind === 'xlembed' ? peers : [];
  const { name, bytes, operations, arithmetic } = runner;
  const byBytes = bounds ? bytes / bandwidth(kernel.op, bounds) : 0;
  const byOperations = bounds ? operations / rate(arithmetic, bounds) : 0;
  return {
    ...{ name, kind, seconds: rounded(median(samples)), deviation: rounded(medianDeviation(samples)) },
    fastest: rounded(Math.min(...samples)),
    ...{ bytes, operations, arithmetic, boundSeconds: rounded(Math.max(byBytes, byOperations)) },
    boundBy: byBytes >= byOperations ? 'bytes' : 'operations',
    difference: rounded(difference),
    ratios: compared.map((peer) => ({
      peer: peer.name,
      ratio: rounded(median(peer.samples.map((seconds, round) => seconds / samples[round]!))),
    })),
  };
}

/** Searching and pooling read and hardly write; everything else writes what it computes. */
function bandwidth(op: string, bounds: Bounds): number {
  const reads = op.startsWith('top_k') || (op.startsWith('pool') && !op.endsWith('_backward'));
  return reads ? bounds.readBytesPerSecond : bounds.copyBytesPerSecond;
}

/** Integers are taken at the rate that their width allows, which no measured product needs to reach. */
function rate(arithmetic: string, bounds: Bounds): number {
  const rates: Record<string, number> = {
    float32: bounds.float32OperationsPerSecond,
    bfloat16: bfloat16Rate(bounds),
    int16: int16Rate(bounds),
    int8: 2 * Math.max(int16Rate(bounds), bfloat16Rate(bounds)),
  };
  return rates[arithmetic]!;
}

/** What the machine can do at most, from the results of copy, read and the two matrix products. */
export function boundsOf(results: readonly CaseResult[]): Bounds {
  const find = (op: string, dtype: string) =>
    results.find((result) => result.op === op && result.dtype === dtype)!.implementations[0]!;
  const bytes = (op: string) => {
    const { bytes, fastest } = find(op, 'float32');
    return rounded(bytes / fastest);
  };
  const operations = (dtype: string) => {
    const { operations, fastest } = find('matmul', dtype);
    return rounded(operations / fastest);
  };
  return {
    copyBytesPerSecond: bytes('copy'),
    readBytesPerSecond: bytes('read'),
    float32OperationsPerSecond: operations('float32'),
    bfloat16OperationsPerSecond: operations('bfloat16'),
  };
}
