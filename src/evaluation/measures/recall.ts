import { defineMeasure, hitsWithin, type Measure } from './measure.js';

/** Recall, trec_eval's `recall`: the share of all relevant candidates that stand within the first `cutoff` ranks. */
export function recall(cutoff: number): Measure {
  return defineMeasure({ symbol: 'R', key: 'recall' }, cutoff, (ranking, k) => {
    const hits = hitsWithin(ranking, k);
    return hits === 0 ? 0 : hits / ranking.relevantGrades.length;
  });
}
