import type { SamplerDescription } from './describe.js';
import type { SharedTexts } from './shared_texts.js';

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
  /** At most `batchSize` pairs; fewer where the drawn cells hold fewer records that may meet. */
  pairs: PairChoice[];
}

export interface Sampler {
  /** Pairs wanted in every batch. */
  readonly batchSize: number;
  /** Languages that batches may hold. */
  readonly languages: readonly string[];
  /** The texts that records share, which tell what answers whose query. */
  readonly shared: SharedTexts;
  /**
   * The pairs of batch n. Any order of calls, any machine: the same answer. Drawn anew from all records, whatever
   * other batches hold: there are no epochs.
   *
   * No pair of the batch holds an answer to another one's query, as far as texts can tell: every record
   * comes once, no two records share a query text, or a positive text, in any language (normalised:
   * NFKC, lower-case, white space folded), and none has a positive that a third record gives to the other's
   * query. The batch is maximal: a short one has no further record to take.
   * With `duplicates: 'mask'` such records do meet.
   *
   * @throws {XlembedError} INVALID_ARGUMENT unless n is an integer from 0 to 2^53 - 1.
   */
  plan(n: number): BatchPlan;
  /** What the sampler draws from, and how often: for printing at the start. */
  describe(): SamplerDescription;
}
