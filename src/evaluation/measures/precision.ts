import { defineMeasure, hitsWithin, type Measure } from './measure.js';

/** Precision, trec_eval's `P`: relevant candidates within the first `cutoff` ranks, over `cutoff` however few were retrieved. */
export function precision(cutoff: number): Measure {
  return defineMeasure({ symbol: 'P', key: 'precision' }, cutoff, (ranking, k) => hitsWithin(ranking, k) / k);
}
