import type { Projection } from './projection.js';
import type { Task } from './tasks/task.js';

/** What an evaluation found; plain data, ready for JSON. Measures of a cell or row go by their name (AP, nDCG@10). */
export interface EvaluationResult {
  kind: Task['kind'];
  task: string;
  /** In the order of the grid. */
  languages: string[];
  /** D of the embeddings. */
  dimensions: number;
  similarity: 'cosine' | 'dot';
  /** Language -> how many were embedded. */
  counts: { queries: Record<string, number>; candidates: Record<string, number> };
  /** Macro-averages over settings: monolingual_map, cross_lingual_recall_at_1, multilingual_mrr, language_bias. */
  measures: Record<string, number>;
  /** The same averages over groups of languages. */
  groups: Record<string, GroupSummary>;
  /** Every ordered pair of languages that has judged queries, query language first. */
  grid: GridCell[];
  /** Every query language against one pool with the candidates of all languages. */
  pool: PoolRow[];
  /** Parallel texts on a plane, where the task has some. */
  projection?: Projection;
}

export interface GridCell {
  queryLanguage: string;
  passageLanguage: string;
  /** Queries that have a relevant candidate in the passage language. */
  queries: number;
  /** Means over those queries; a correlation that is not defined is missing. */
  measures: Record<string, number>;
  /** Only when asked for: for paired tests and confidence intervals. */
  queryScores?: QueryScores;
}

export interface PoolRow {
  queryLanguage: string;
  queries: number;
  measures: Record<string, number>;
  /** Mean rank distance; absent when no query has two relevant candidates. */
  languageBias?: number;
  /** Language -> its share of the first 10 passages, mean over the queries: a row of the bias matrix. */
  languageShares: Record<string, number>;
  queryScores?: QueryScores;
}

export interface QueryScores {
  ids: string[];
  /** Measure -> the score of each id. */
  scores: Record<string, number[]>;
}

export interface GroupSummary {
  /** The group's languages that the task has. */
  languages: string[];
  /** The group's languages that the task lacks. */
  absent: string[];
  /**
   * As EvaluationResult.measures, over cells with both languages in the group; cross_lingual_touching_* is over cells
   * with at least one of the two in it; multilingual_* and language_bias over the group's query languages.
   */
  measures: Record<string, number>;
}
