import type { Dtype, NativeBenchmarkOptions } from '../../native.js';

/** One op on one shape. */
export interface KernelCase {
  op: string;
  dtype: Dtype;
  shape: Record<string, number>;
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

const bounds = (bytes: number, size: number): KernelCase[] => [
  ...each('copy', 'float32', [{ bytes }]),
  ...each('read', 'float32', [{ bytes }]),
  ...each('matmul', 'float32', [{ size }]),
  ...each('matmul', 'bfloat16', [{ size }]),
];

/** Every row op on the same rows, in each dtype that it takes. */
const rowOps = (rows: number[], dimensions: number, dtypes: Dtype[]): KernelCase[] => {
  const shapes = rows.map((count) => ({ rows: count, dimensions }));
  return [
    ...dtypes.flatMap((dtype) => each('normalize', dtype, shapes)),
    ...each('quantize_int8', 'float32', shapes),
    ...each('quantize_binary', 'float32', shapes),
  ];
};

const quickPlan = (isGpu: boolean): Plan => ({
  bounds: bounds(2 ** 26, 1024),
  cases: [
    ...each('pool_mean', 'float32', [{ sequences: 64, tokens: 128, dimensions: 384 }]),
    ...rowOps([8192], 384, ['float32', 'bfloat16']),
    ...each('info_nce', 'float32', [{ pairs: 1024, dimensions: 384 }]),
    ...each('top_k', 'float32', [
      { rows: 50_000, dimensions: 384, queries: 1, k: 10 },
      { rows: 50_000, dimensions: 384, queries: 32, k: 10 },
    ]),
    ...each('top_k_binary', 'float32', isGpu ? [] : [{ rows: 50_000, dimensions: 384, queries: 1, k: 10 }]),
  ],
  rotatedBytes: 2 ** 26,
});

const cpuPlan = (): Plan => ({
  bounds: bounds(2 ** 28, 2048),
  cases: [
    ...(['float32', 'bfloat16'] as const).flatMap((dtype) =>
      each(
        'pool_mean',
        dtype,
        [16, 64, 256].map((sequences) => ({ sequences, tokens: 128, dimensions: 768 })),
      ),
    ),
    ...rowOps([1024, 8192, 65_536], 768, ['float32', 'bfloat16']),
    ...each(
      'info_nce',
      'float32',
      [384, 768, 1024].flatMap((dimensions) =>
        [1024, 2048, 4096, 8192, 16_384].map((pairs) => ({ pairs, dimensions })),
      ),
    ),
    ...each('info_nce', 'bfloat16', [{ pairs: 4096, dimensions: 384 }]),
    ...each('top_k', 'float32', [
      ...[10_000, 100_000, 1_000_000].map((rows) => ({ rows, dimensions: 384, queries: 32, k: 10 })),
      { rows: 1_000_000, dimensions: 384, queries: 1, k: 10 },
      { rows: 1_000_000, dimensions: 384, queries: 32, k: 100 },
      { rows: 1_000_000, dimensions: 384, queries: 1024, k: 10 },
    ]),
    ...each(
      'top_k_binary',
      'float32',
      [1, 32, 256].map((queries) => ({ rows: 1_000_000, dimensions: 1024, queries, k: 10 })),
    ),
  ],
  rotatedBytes: 2 ** 28,
});

const gpuPlan = (): Plan => ({
  bounds: bounds(2 ** 32, 8192),
  cases: [
    ...(['float32', 'bfloat16'] as const).flatMap((dtype) =>
      each(
        'pool_mean',
        dtype,
        [256, 1024, 4096].map((sequences) => ({ sequences, tokens: 128, dimensions: 1024 })),
      ),
    ),
    ...rowOps([16_384, 131_072, 1_048_576], 1024, ['float32', 'bfloat16']),
    ...(['float32', 'bfloat16'] as const).flatMap((dtype) =>
      each(
        'info_nce',
        dtype,
        [4096, 8192, 16_384, 32_768].map((pairs) => ({ pairs, dimensions: 1024 })),
      ),
    ),
    ...each('top_k', 'float32', [
      ...[1, 32, 1024].map((queries) => ({ rows: 1_000_000, dimensions: 384, queries, k: 10 })),
      ...[1, 32, 1024].map((queries) => ({ rows: 1_000_000, dimensions: 1024, queries, k: 10 })),
      { rows: 1_000_000, dimensions: 1024, queries: 1024, k: 100 },
    ]),
  ],
  rotatedBytes: 2 ** 29,
});

/** What is measured on a device: bounds first. `quick` takes seconds a case and fits any machine. */
export function kernelPlan(device: string, quick: boolean): Plan {
  const isGpu = device.startsWith('cuda');
  if (quick) return quickPlan(isGpu);
  return isGpu ? gpuPlan() : cpuPlan();
}

/** The ops that `--only` may name. */
export const opNames = [...new Set(cpuPlan().cases.map(({ op }) => op))];

/** Only what reads its inputs once is timed on several of them. */
export function inputSets({ op, dtype, shape }: KernelCase, rotatedBytes: number): number {
  const rows = shape.rows ?? (shape.sequences ?? 0) * (shape.tokens ?? 0);
  if (['top_k', 'top_k_binary', 'info_nce'].includes(op) || rows === 0) return 1;
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

/** `8,192 x 384` */
export const shapeText = (shape: Record<string, number>): string =>
  Object.entries(shape)
    .map(([name, size]) => `${name} ${size.toLocaleString('en')}`)
    .join(', ');
