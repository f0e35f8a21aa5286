import { defineMeasure, hitsWithin, type Measure } from './measure.js';

/** Reciprocal rank, trec_eval's `recip_rank`: one over the rank of the first relevant candidate, 0 beyond the cutoff. */
export function reciprocalRank(cutoff?: number): Measure {
  return defineMeasure({ symbol: 'RR', key: 'mrr' }, cutoff, (ranking, k) =>
    hitsWithin(ranking, k) === 0 ? 0 : 1 / ranking.ranks[0]!,
  );
}
