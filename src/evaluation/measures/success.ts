import { defineMeasure, hitsWithin, type Measure } from './measure.js';

/** Success, trec_eval's `success`: 1 when any relevant candidate stands within the first `cutoff` ranks, else 0. */
export function success(cutoff: number): Measure {
  return defineMeasure({ symbol: 'Success', key: 'success' }, cutoff, (ranking, k) =>
    hitsWithin(ranking, k) > 0 ? 1 : 0,
  );
}
