import { invalidArgument } from '../../errors.js';

/**
 * Where one query's relevant candidates ended up. A candidate is relevant when its grade is positive. Every measure
 * here follows from these three lists: no full ranking is ever needed.
 */
export interface JudgedRanking {
  /** (R) 1-based ranks of the relevant candidates that were retrieved, ascending. */
  ranks: ArrayLike<number>;
  /** (R) grades[i] is the grade of the candidate at ranks[i]. */
  grades: ArrayLike<number>;
  /** Grades of all relevant candidates, retrieved or not, descending. */
  relevantGrades: ArrayLike<number>;
}

export interface MeasureNames {
  /** As ir_measures spells it: nDCG@10, AP, RR@10. */
  readonly name: string;
  /** As MTEB spells it: ndcg_at_10, map, mrr_at_10. */
  readonly key: string;
}

/** A measure is a value: its declared parameters, its names, and how it scores one query. */
export interface Measure extends MeasureNames {
  /** Ranks beyond it do not count. Undefined: the whole ranking counts. */
  readonly cutoff: number | undefined;
  /** The query's score; 0 when it has no relevant candidate. */
  score(ranking: JudgedRanking): number;
}

/** The two names of a family of measures, without the cutoff. */
export interface MeasureFamily {
  symbol: string;
  key: string;
}

/** Builds a measure of a family. `score` gets the cutoff, or Infinity. Throws INVALID_ARGUMENT for a bad cutoff. */
export function defineMeasure(
  family: MeasureFamily,
  cutoff: number | undefined,
  score: (ranking: JudgedRanking, cutoff: number) => number,
): Measure {
  if (cutoff !== undefined && !(Number.isSafeInteger(cutoff) && cutoff >= 1)) {
    throw invalidArgument(`cutoff of ${family.symbol}`, 'a whole number of at least 1', cutoff);
  }
  return {
    name: cutoff === undefined ? family.symbol : `${family.symbol}@${cutoff}`,
    key: cutoff === undefined ? family.key : `${family.key}_at_${cutoff}`,
    cutoff,
    score: (ranking) => score(ranking, cutoff ?? Number.POSITIVE_INFINITY),
  };
}

/** How many relevant candidates stand within the first `cutoff` ranks. */
export function hitsWithin(ranking: JudgedRanking, cutoff: number): number {
  let hits = 0;
  while (hits < ranking.ranks.length && ranking.ranks[hits]! <= cutoff) hits++;
  return hits;
}

/** The mean of a measure over queries, in the order given. NaN for none. */
export function meanScore(measure: Measure, rankings: Iterable<JudgedRanking>): number {
  let sum = 0;
  let queries = 0;
  for (const ranking of rankings) {
    sum += measure.score(ranking);
    queries++;
  }
  return sum / queries;
}
