import type { BatchPlan, Sampler } from '#xlembed/batches/plan.js';
import { createSampler } from '#xlembed/batches/sampler.js';
import type { ParallelRecord } from '#xlembed/datasets/records.js';

type Options = Parameters<typeof createSampler>[1];

/** A record with distinct texts in the languages given, e.g. record(7, 'en de', 'de'). */
export function record(i: number, queries: string, positives = queries): ParallelRecord {
  const texts = (side: string, languages: string) =>
    Object.fromEntries(languages.split(' ').map((language) => [language, `${side} ${i} in ${language}`]));
  return { id: `r${i}`, query: texts('query', queries), positive: texts('positive', positives) };
}

export const range = (n: number) => Array.from({ length: n }, (_, i) => i);

/** Fully parallel records. */
export const parallel = (n: number, languages: string) => range(n).map((i) => record(i, languages));

/** Records with different sets of languages on each side, and flat pairs between them. */
export const uneven = (n: number) =>
  range(n).map((i) => {
    if (i % 7 === 0) return record(i, 'en', 'de');
    if (i % 5 === 0) return record(i, 'ru');
    if (i % 3 === 0) return record(i, 'en de', 'en ru');
    return record(i, 'en de ru');
  });

export function sampler(records: ParallelRecord[], options: Partial<Options> = {}): Sampler {
  return createSampler(records, { sampler: 'hybrid', batchSize: 8, seed: 1, ...options });
}

export const plans = (source: Sampler, n: number): BatchPlan[] => range(n).map((i) => source.plan(i));

/** Pearson's statistic over its degrees of freedom: near 1 when the counts follow the probabilities. */
export function reducedChiSquare(observed: number[], probabilities: number[]): number {
  const total = observed.reduce((a, b) => a + b, 0);
  const terms = observed.map(
    (count, i) => (count - total * probabilities[i]!) ** 2 / (total * probabilities[i]!),
  );
  return terms.reduce((a, b) => a + b, 0) / (observed.length - 1);
}
