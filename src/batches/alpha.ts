import { z } from 'zod';

/**
 * Probability of a monolingual batch, 0..1: fixed; linear over the run from its first batch to its last; or a list of
 * steps, each of which holds from its batch on (the first from batch 0).
 */
export type Alpha = number | { from: number; to: number } | readonly { batch: number; alpha: number }[];

const probability = z.number().min(0).max(1);
const ascending = (steps: readonly { batch: number }[]) =>
  steps[0]?.batch === 0 && steps.every(({ batch }, i) => i === 0 || batch > steps[i - 1]!.batch);

export const ALPHA_EXPECTED =
  'a number from 0 to 1, { from, to } of such numbers, or [{ batch, alpha }] with ascending batches from 0';

export const alphaSchema = z.union(
  [
    probability,
    z.strictObject({ from: probability, to: probability }),
    z.array(z.strictObject({ batch: z.int().min(0), alpha: probability })).refine(ascending, ALPHA_EXPECTED),
  ],
  { error: ALPHA_EXPECTED },
);

/** What a sampler goes by: the hybrid one alone reads what is given. */
export function alphaOf(sampler: 'monolingual' | 'cross_lingual' | 'hybrid', given: Alpha): Alpha {
  return { monolingual: 1, cross_lingual: 0, hybrid: given }[sampler];
}

/** Alpha of batch n of a run of `batches`. */
export function alphaAt(alpha: Alpha, n: number, batches: number): number {
  if (typeof alpha === 'number') return alpha;
  if ('from' in alpha) {
    const share = batches < 2 ? 0 : Math.min(1, n / (batches - 1));
    return alpha.from + (alpha.to - alpha.from) * share;
  }
  return alpha.findLast(({ batch }) => batch <= n)!.alpha;
}

/** Every value that a schedule reaches lies between its least and its largest one. */
export function alphaBounds(alpha: Alpha): { least: number; largest: number } {
  const values =
    typeof alpha === 'number'
      ? [alpha]
      : 'from' in alpha
        ? [alpha.from, alpha.to]
        : alpha.map((step) => step.alpha);
  return { least: Math.min(...values), largest: Math.max(...values) };
}
