import { XlembedError } from '../../errors.js';
import type { Dtype, NativeBenchmarkOptions } from '../../native.js';

/** One op on one shape. */
export interface KernelCase {
  op: string;
  dtype: Dtype;
  shape: Record<string, number>;
  /** Takes minutes: measured once, and only when its sizes are asked for. */
  long?: true;
}

export interface Plan {
  bounds: KernelCase[];
  cases: KernelCase[];
  /** Inputs are taken in turn over this many bytes: more than any cache holds. */
  rotatedBytes: number;
}

type Sizes = Record<string, number>;

const each = (op: string, dtype: Dtype, shapes: Sizes[]): KernelCase[] =>
  shapes.map((shape) => ({ op, dtype, shape }));

/** A processor without instructions for bfloat16 multiplies it in libtorch a hundred times slower than float32. */
const bounds = (bytes: number, size: number, narrowSize = size): KernelCase[] => [
  ...each('copy', 'float32', [{ bytes }]),
  ...each('read', 'float32', [{ bytes }]),
  ...each('matmul', 'float32', [{ size }]),
  ...each('matmul', 'bfloat16', [{ size: narrowSize }]),
];

/** Every row op on the same rows; those with a gradient forward and backward. */
const rowOps = (rows: number[], dimensions: number): KernelCase[] => {
  const shapes = rows.map((count) => ({ rows: count, dimensions }));
  return [
    ...(['float32', 'bfloat16'] as const).flatMap((dtype) => each('normalize', dtype, shapes)),
    ...each('normalize_backward', 'float32', shapes),
    ...each('quantize_int8', 'float32', shapes),
    ...each('quantize_binary', 'float32', shapes),
  ];
};

const poolOps = (sequences: number[], dimensions: number): KernelCase[] => {
  const shapes = sequences.map((count) => ({ sequences: count, tokens: 128, dimensions }));
  const middle = shapes.slice(1, 2);
  return [
    ...(['float32', 'bfloat16'] as const).flatMap((dtype) => each('pool_mean', dtype, shapes)),
    ...each('pool_mean_backward', 'float32', shapes),
    ...each('pool_mean_backward', 'bfloat16', middle),
    ...['pool_first_backward', 'pool_max', 'pool_max_backward'].flatMap((op) => each(op, 'float32', middle)),
  ];
};

/** Of short and of long texts. */
const attentionOps = (dtype: Dtype, texts: number, heads: number, width: number): KernelCase[] =>
  each(
    'attention_training',
    dtype,
    [32, 256].map((tokens) => ({ sequences: (texts * 32) / tokens, tokens, heads, width })),
  );

const quickPlan = (): Plan => ({
  bounds: bounds(2 ** 26, 1024, 256),
  cases: [
    ...['pool_mean', 'pool_mean_backward'].flatMap((op) =>
      each(op, 'float32', [{ sequences: 64, tokens: 128, dimensions: 384 }]),
    ),
    ...rowOps([8192], 384),
    ...each('info_nce', 'float32', [{ pairs: 1024, dimensions: 384 }]),
    ...each('top_k', 'float32', [
      { rows: 50_000, dimensions: 384, queries: 1, k: 10 },
      { rows: 50_000, dimensions: 384, queries: 32, k: 10 },
    ]),
    ...each('top_k', 'bfloat16', [{ rows: 50_000, dimensions: 384, queries: 32, k: 10 }]),
    ...each('top_k_binary', 'float32', [{ rows: 50_000, dimensions: 384, queries: 1, k: 10 }]),
  ],
  rotatedBytes: 2 ** 26,
});

const cpuPlan = (): Plan => ({
  bounds: bounds(2 ** 30, 2048, 512),
  cases: [
    ...poolOps([16, 64, 256], 768),
    ...rowOps([1024, 8192, 65_536], 768),
    ...attentionOps('float32', 128, 12, 32),
    ...each(
      'info_nce',
      'float32',
      [384, 768, 1024].flatMap((dimensions) =>
        [1024, 2048, 4096, 8192, 16_384].map((pairs) => ({ pairs, dimensions })),
      ),
    ),
    ...each('info_nce', 'bfloat16', [{ pairs: 4096, dimensions: 384 }]),
    { op: 'info_nce', dtype: 'float32', shape: { pairs: 131_072, dimensions: 384 }, long: true },
    ...each('top_k', 'float32', [
      ...[10_000, 100_000].map((rows) => ({ rows, dimensions: 384, queries: 32, k: 10 })),
      ...[384, 768].flatMap((dimensions) =>
        [1, 32, 1024].flatMap((queries) =>
          [10, 100].map((k) => ({ rows: 1_000_000, dimensions, queries, k })),
        ),
      ),
    ]),
    ...each(
      'top_k_binary',
      'float32',
      [1, 32, 256].map((queries) => ({ rows: 1_000_000, dimensions: 1024, queries, k: 10 })),
    ),
    ...each('linear', 'float32', [
      { rows: 2048, in: 384, out: 1536 },
      { rows: 2048, in: 768, out: 3072 },
    ]),
  ],
  rotatedBytes: 2 ** 30,
});

const gpuPlan = (): Plan => ({
  bounds: bounds(2 ** 31, 8192),
  cases: [
    ...each('info_nce', 'bfloat16', [
      { pairs: 65_536, dimensions: 1024 },
      { pairs: 16_384, dimensions: 1024 },
      { pairs: 4096, dimensions: 1024 },
    ]),
    ...each('info_nce', 'float32', [
      { pairs: 16_384, dimensions: 1024 },
      { pairs: 4096, dimensions: 1024 },
    ]),
    ...poolOps([256, 1024], 1024),
    ...rowOps([16_384, 131_072], 1024),
    ...attentionOps('bfloat16', 2048, 12, 64),
    ...each(
      'top_k',
      'bfloat16',
      [1024, 1].map((queries) => ({ rows: 10_000_000, dimensions: 1024, queries, k: 10 })),
    ),
    ...each('top_k', 'float32', [
      ...[1, 32, 1024].map((queries) => ({ rows: 1_000_000, dimensions: 384, queries, k: 10 })),
      ...[1, 1024].map((queries) => ({ rows: 1_000_000, dimensions: 1024, queries, k: 10 })),
      { rows: 1_000_000, dimensions: 1024, queries: 1024, k: 100 },
    ]),
    ...each(
      'top_k_binary',
      'float32',
      [1, 32, 1024].map((queries) => ({ rows: 1_000_000, dimensions: 1024, queries, k: 10 })),
    ),
  ],
  rotatedBytes: 2 ** 29,
});

/** What is measured on a device: bounds first. `quick` takes seconds a case and fits any machine. */
export function kernelPlan(device: string, quick: boolean): Plan {
  const isGpu = device.startsWith('cuda');
  if (quick) return quickPlan();
  return isGpu ? gpuPlan() : cpuPlan();
}

/**
 * The cases of these ops (empty: of all) whose shapes have these sizes. Long ones only where a size of theirs that no
 * other case has is among them. An op that is named and has no such case is measured at these sizes, the others being
 * those of its first case. Throws INVALID_ARGUMENT where nothing is left to measure.
 */
export function chosenCases(plan: Plan, ops: readonly string[], sizes: Sizes): KernelCase[] {
  const wanted = Object.entries(sizes);
  const planned = plan.cases.filter(
    ({ op, shape, long }) =>
      (ops.length === 0 || ops.includes(op)) &&
      wanted.every(([name, size]) => shape[name] === size) &&
      (!long || wanted.some(([name, size]) => isOnlyInLong(plan, name, size))),
  );
  const others = ops.filter((name) => !planned.some(({ op }) => op === name));
  const chosen = [...planned, ...others.flatMap((op) => resized(plan, op, sizes))];
  if (chosen.length > 0) return chosen;
  const names = [
    ...new Set(plan.cases.flatMap(({ op, shape }) => (ops.includes(op) ? Object.keys(shape) : []))),
  ];
  throw new XlembedError(
    'INVALID_ARGUMENT',
    `no case has ${wanted.map(([name, size]) => `${name}=${size}`).join(',')}`,
    names.length > 0
      ? `the sizes of these ops are ${names.join(', ')}`
      : 'name ops that have these sizes: --only',
  );
}

/** The first case of each element type, at other sizes. */
function resized({ cases }: Plan, op: string, sizes: Sizes): KernelCase[] {
  const alike = cases.filter(
    ({ op: own, shape, long }) => own === op && !long && Object.keys(sizes).every((name) => name in shape),
  );
  return alike
    .filter(({ dtype }, i) => alike.findIndex((other) => other.dtype === dtype) === i)
    .map((one) => ({ ...one, shape: { ...one.shape, ...sizes } }));
}

const isOnlyInLong = ({ cases }: Plan, name: string, size: number) =>
  cases.every(({ shape, long }) => long || shape[name] !== size);

/** The ops that `--only` may name. */
export const opNames = [...new Set(cpuPlan().cases.map(({ op }) => op))];

/** Only what reads its inputs once is timed on several of them. */
export function inputSets({ op, dtype, shape }: KernelCase, rotatedBytes: number): number {
  const rows = shape.rows ?? (shape.sequences ?? 0) * (shape.tokens ?? 0);
  if (['top_k', 'top_k_binary', 'info_nce', 'attention_training'].includes(op) || rows === 0) return 1;
  const bytes = rows * (shape.dimensions ?? 1) * (dtype === 'float32' ? 4 : 2);
  return Math.min(64, Math.ceil(rotatedBytes / bytes));
}

export function nativeOptions(
  kernel: KernelCase,
  device: string,
  rotatedBytes: number,
): NativeBenchmarkOptions {
  return { ...kernel, device, inputSets: inputSets(kernel, rotatedBytes), seed };
}

/** Of all inputs: every run, every implementation and every peer sees the same numbers. */
export const seed = 1;
