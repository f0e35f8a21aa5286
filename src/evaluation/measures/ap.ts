import { defineMeasure, hitsWithin, type Measure } from './measure.js';

/**
 * Average precision, trec_eval's `map` and `map_cut`: the precision at each relevant candidate's rank, summed and
 * divided by the number of all relevant candidates, whatever the cutoff.
 */
export function averagePrecision(cutoff?: number): Measure {
  return defineMeasure({ symbol: 'AP', key: 'map' }, cutoff, (ranking, k) => {
    const hits = hitsWithin(ranking, k);
    let sum = 0;
    for (let hit = 0; hit < hits; hit++) sum += (hit + 1) / ranking.ranks[hit]!;
    return hits === 0 ? 0 : sum / ranking.relevantGrades.length;
  });
}
