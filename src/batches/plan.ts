/** One training pair: a record, and the language that each side is taken in. */
export interface PairChoice {
  /** Position in the dataset. */
  record: number;
  queryLanguage: string;
  positiveLanguage: string;
}

/** What batch n holds: a pure function of (dataset, options, seed, n). */
export interface BatchPlan {
  n: number;
  kind: 'monolingual' | 'cross_lingual';
  pairs: PairChoice[];
}

export interface Sampler {
  plan(n: number): BatchPlan;
}
