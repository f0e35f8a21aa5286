import type { ComparisonRow } from '../evaluation/comparison_table.js';
import type { EvaluationResult } from '../evaluation/results.js';

/** One model's result, with what it takes to get it again. */
export interface EvaluatedModel {
  /** Unique among those compared. */
  name: string;
  result: EvaluationResult;
  settings: Record<string, unknown>;
  versions: Record<string, string>;
  seconds: number;
}

/** Models on one task; differences are against the first. */
export interface EvaluationComparison {
  title: string;
  /** ISO 8601. */
  createdAt: string;
  command: string;
  models: readonly EvaluatedModel[];
  rows: readonly ComparisonRow[];
}

/** The measure that heatmaps and tables of single settings show. */
export const MAIN_MEASURE: Record<EvaluationResult['kind'], string> = {
  retrieval: 'AP',
  collection: 'nDCG@10',
  bitext: 'F1',
  similarity: 'Spearman',
};
