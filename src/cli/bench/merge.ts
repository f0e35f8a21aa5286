import { XlembedError } from '../../errors.js';
import type { BenchmarkResults, Bounds, CaseResult } from '../../report/benchmark_results.js';

/**
 * The results of two runs on one machine: cases measured in both are the later's. Each case keeps the share of its own
 * run's bounds; the bounds are what the machine reached in either. Throws INVALID_ARGUMENT when the runs are of
 * different machines or devices, of different kinds, or of different numbers of threads which the cases do not name.
 */
export function mergeResults(earlier: BenchmarkResults, later: BenchmarkResults): BenchmarkResults {
  const namesThreads = [...earlier.cases, ...later.cases].every(({ shape }) => 'threads' in shape);
  for (const name of ['machine', 'device', 'threads', 'quick'] as const) {
    if (earlier[name] === later[name] || (name === 'threads' && namesThreads)) continue;
    throw new XlembedError(
      'INVALID_ARGUMENT',
      `results of ${name} ${earlier[name]} cannot be added to: this run's is ${later[name]}`,
      'write them to another file',
    );
  }
  const measured = new Set(later.cases.map(keyOf));
  const names = new Set(later.cases.map(nameOf));
  return {
    ...later,
    threads: Math.max(earlier.threads, later.threads),
    command: [...new Set([...earlier.command.split('\n'), later.command])].join('\n'),
    loadBefore: Math.max(earlier.loadBefore, later.loadBefore),
    loadAfter: Math.max(earlier.loadAfter, later.loadAfter),
    versions: { ...earlier.versions, ...later.versions },
    bounds: largest(earlier.bounds, later.bounds),
    cases: [...earlier.cases.filter((one) => !measured.has(keyOf(one))), ...later.cases],
    failures: [...earlier.failures.filter((one) => !names.has(one.case)), ...later.failures],
  };
}

const keyOf = ({ op, dtype, shape }: CaseResult) => JSON.stringify([op, dtype, Object.entries(shape).sort()]);

/** As in the failures. */
export const nameOf = ({ op, dtype, shape }: Pick<CaseResult, 'op' | 'dtype' | 'shape'>) =>
  `${op} ${dtype}, ${shapeText(shape)}`;

/** `rows 8,192, dimensions 768` */
export const shapeText = (shape: Record<string, number>): string =>
  Object.entries(shape)
    .map(([name, size]) => `${name} ${size.toLocaleString('en')}`)
    .join(', ');

function largest(a: Bounds, b: Bounds): Bounds {
  const names = Object.keys(a) as (keyof Bounds)[];
  return Object.fromEntries(names.map((name) => [name, Math.max(a[name], b[name])])) as unknown as Bounds;
}
