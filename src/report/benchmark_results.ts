import { z } from 'zod';
import { XlembedError } from '../errors.js';

/** What `xlembed bench kernels` and `xlembed bench encode` write: one run on one device. Seconds, bytes, operations; no other units. */
export interface BenchmarkResults {
  /** ISO 8601. */
  createdAt: string;
  command: string;
  /** Name of the processor or GPU. */
  machine: string;
  device: string;
  threads: number;
  /** True for small shapes and few rounds: good for trying out, not for quoting. */
  quick: boolean;
  /** Processes that wanted a core when the run began, and when it ended (the system's load average). */
  loadBefore: number;
  loadAfter: number;
  versions: Record<string, string>;
  bounds: Bounds;
  cases: CaseResult[];
  failures: { case: string; error: string }[];
}

/** What the machine reached at most: the quickest rounds, at the start of the same run. */
export interface Bounds {
  /** Bytes read plus bytes written. */
  copyBytesPerSecond: number;
  readBytesPerSecond: number;
  /** Square matrix products in libtorch; a product is 2 n^3 operations. */
  float32OperationsPerSecond: number;
  bfloat16OperationsPerSecond: number;
}

/** Operations a second on bfloat16: at least those of float32, which holds every bfloat16. */
export const bfloat16Rate = ({ float32OperationsPerSecond, bfloat16OperationsPerSecond }: Bounds) =>
  Math.max(float32OperationsPerSecond, bfloat16OperationsPerSecond);

/** On integers of 16 bits, of which a register of the CPU holds twice as many as of float32. */
export const int16Rate = ({ float32OperationsPerSecond, bfloat16OperationsPerSecond }: Bounds) =>
  Math.max(2 * float32OperationsPerSecond, bfloat16OperationsPerSecond);

/** One op on one shape: every way of doing its work, timed in turn, round by round. */
export interface CaseResult {
  op: string;
  dtype: string;
  shape: Record<string, number>;
  rounds: number;
  /** Half the width of the 95 % interval of a whole round's mean time, relative (benchmark.js). */
  roundMargin: number;
  /** Of a case that embeds texts. */
  work?: EncodingWork | undefined;
  implementations: ImplementationResult[];
}

export interface EncodingWork {
  texts: number;
  /** Real ones, special tokens included. */
  tokens: number;
  /** Time of tokenising alone, over xlembed's time for everything. */
  tokenizerShare: number;
}

export interface ImplementationResult {
  name: string;
  kind: 'xlembed' | 'peer' | 'products';
  /** Median over the rounds. */
  seconds: number;
  /** Median absolute deviation from it. */
  deviation: number;
  /** Of the quickest round. */
  fastest: number;
  bytes: number;
  operations: number;
  arithmetic: string;
  /** No version can take less: the larger of bytes over bandwidth and operations over rate. */
  boundSeconds: number;
  boundBy: 'bytes' | 'operations';
  /** |a - b| / |b| of the results against the first peer's; of embeddings, against xlembed's in float32. */
  difference: number;
  /** Memory beside inputs and results at the peak, where it was measured. */
  extraBytes?: number | undefined;
  /** How many times faster than each peer: median over the rounds of peer / this. */
  ratios: { peer: string; ratio: number }[];
}

const positive = z.number().positive();
const implementationSchema = z.object({
  name: z.string(),
  kind: z.enum(['xlembed', 'peer', 'products']),
  seconds: positive,
  deviation: z.number().nonnegative(),
  fastest: positive,
  bytes: z.number().nonnegative(),
  operations: z.number().nonnegative(),
  arithmetic: z.string(),
  boundSeconds: positive,
  boundBy: z.enum(['bytes', 'operations']),
  difference: z.number(),
  extraBytes: z.number().nonnegative().optional(),
  ratios: z.array(z.object({ peer: z.string(), ratio: positive })),
});
const caseSchema = z.object({
  op: z.string(),
  dtype: z.string(),
  shape: z.record(z.string(), z.number()),
  rounds: z.number(),
  roundMargin: z.number(),
  work: z.object({ texts: positive, tokens: positive, tokenizerShare: positive }).optional(),
  implementations: z.array(implementationSchema).min(1),
});
const resultsSchema: z.ZodType<BenchmarkResults> = z.object({
  createdAt: z.string(),
  command: z.string(),
  machine: z.string(),
  device: z.string(),
  threads: z.number(),
  quick: z.boolean(),
  loadBefore: z.number(),
  loadAfter: z.number(),
  versions: z.record(z.string(), z.string()),
  bounds: z.object({
    copyBytesPerSecond: positive,
    readBytesPerSecond: positive,
    float32OperationsPerSecond: positive,
    bfloat16OperationsPerSecond: positive,
  }),
  cases: z.array(caseSchema),
  failures: z.array(z.object({ case: z.string(), error: z.string() })),
});

/** Reads the text of a results file. Throws MALFORMED_FILE, which names the first wrong field. */
export function parseBenchmarkResults(path: string, text: string): BenchmarkResults {
  const hint = 'give files that xlembed bench kernels or encode --output wrote';
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new XlembedError('MALFORMED_FILE', `${path} is not JSON: ${(cause as Error).message}`, hint, {
      cause,
    });
  }
  // scripts/gpu-check keeps them among other results.
  const within = (value as { benchmarks?: unknown } | null)?.benchmarks;
  const parsed = resultsSchema.safeParse(within ?? value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new XlembedError(
    'MALFORMED_FILE',
    `${path}: ${issue?.path.join('.') || 'value'}: ${issue?.message}`,
    hint,
  );
}
