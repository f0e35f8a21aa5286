import { defineMeasure, hitsWithin, type Measure } from './measure.js';

/**
 * Normalised discounted cumulative gain, trec_eval's `ndcg` and `ndcg_cut` (Järvelin and Kekäläinen 2002): the gain is
 * the grade itself, the discount log2(rank + 1), and the ideal ranking holds all relevant candidates.
 */
export function ndcg(cutoff?: number): Measure {
  return defineMeasure({ symbol: 'nDCG', key: 'ndcg' }, cutoff, (ranking, k) => {
    const hits = hitsWithin(ranking, k);
    if (hits === 0) return 0;
    return actualGain(ranking.ranks, ranking.grades, hits) / idealGain(ranking.relevantGrades, k);
  });
}

function actualGain(ranks: ArrayLike<number>, grades: ArrayLike<number>, hits: number): number {
  let sum = 0;
  for (let hit = 0; hit < hits; hit++) sum += grades[hit]! / Math.log2(ranks[hit]! + 1);
  return sum;
}

function idealGain(descendingGrades: ArrayLike<number>, cutoff: number): number {
  let sum = 0;
  for (let i = 0; i < descendingGrades.length && i < cutoff; i++)
    sum += descendingGrades[i]! / Math.log2(i + 2);
  return sum;
}
