import { z } from 'zod';
import { anyOptions, checkOptions } from '../checked_options.js';
import { invalidArgument, XlembedError } from '../errors.js';
import type { EvaluationResult, GridCell, PoolRow, QueryScores } from './results.js';
import {
  type BootstrapOptions,
  bootstrapInterval,
  type Interval,
  type PermutationResult,
  pairedPermutationTest,
} from './statistics.js';

export type Setting = 'monolingual' | 'cross_lingual' | 'multilingual';

export interface Comparison {
  setting: Setting;
  /** As ir_measures spells it. */
  measure: string;
  /** Macro-averages of the two. */
  a: number;
  b: number;
  /** Of a - b. */
  interval: Interval;
  test: PermutationResult;
}

export interface CompareOptions extends BootstrapOptions {
  setting: Setting;
  measure: string;
  permutations?: number | undefined;
}

const settingShape = { setting: z.enum(['monolingual', 'cross_lingual', 'multilingual']) };
const resultSchema = z.custom(
  (value) => Array.isArray((value as EvaluationResult | undefined)?.grid),
  'what evaluateTask gives',
);
const comparison = z.object({ ...settingShape, a: resultSchema, b: resultSchema });
const questions = z.object({ ...settingShape, result: resultSchema });

/**
 * Compares two models on one task and setting: confidence interval and significance of the difference between their
 * macro-averages. A question is one observation, with all its languages: they are not independent of each other. Both
 * results need keepQueryScores. Throws INVALID_ARGUMENT when they lack it or were not measured on the same queries in
 * the same languages.
 */
export function compareResults(
  a: EvaluationResult,
  b: EvaluationResult,
  options: CompareOptions,
): Comparison {
  checkOptions(anyOptions, options);
  const { setting, measure } = options;
  checkOptions(comparison, { a, b, setting });
  requireSameCells(a, b, setting);
  const first = questionScores(a, setting, measure);
  const second = questionScores(b, setting, measure);
  const shared = [...first.keys()].filter((id) => second.has(id)).length;
  if (shared !== first.size || shared !== second.size) {
    const received = `${first.size} and ${second.size} queries, ${shared} of them shared`;
    throw new XlembedError('INVALID_ARGUMENT', `expected results on the same queries, received ${received}`);
  }
  const scoresA = [...first.values()];
  const scoresB = [...first.keys()].map((id) => second.get(id)!);
  const differences = scoresA.map((score, i) => score - scoresB[i]!);
  return {
    setting,
    measure,
    a: mean(scoresA),
    b: mean(scoresB),
    interval: bootstrapInterval(differences, options),
    test: pairedPermutationTest(scoresA, scoresB, options),
  };
}

/**
 * Question id -> its share in the setting's macro-average, scaled so that the mean over the questions is that
 * average: in each of C cells a score s of n queries has the share s / (n C).
 */
export function questionScores(
  result: EvaluationResult,
  setting: Setting,
  measure: string,
): Map<string, number> {
  checkOptions(questions, { result, setting });
  const cells = cellsOf(result, setting).map(({ queryScores }) => queryScores);
  if (cells.length === 0) throw invalidArgument('setting', 'a setting that the result has', setting);
  const shares = new Map<string, number>();
  for (const cell of cells) {
    const scores = scoresOf(cell, measure);
    scores.forEach((score, i) => {
      const id = cell!.ids[i]!;
      shares.set(id, (shares.get(id) ?? 0) + score / (scores.length * cells.length));
    });
  }
  return new Map([...shares].map(([id, share]) => [id, share * shares.size]));
}

/** Averages over other languages cannot be compared. Throws INVALID_ARGUMENT, naming those that only one side has. */
export function requireSameCells(a: EvaluationResult, b: EvaluationResult, setting: Setting): void {
  const [first, second] = [a, b].map((result) => new Set(cellsOf(result, setting).map(languagesOf)));
  const alone = [...first!, ...second!].filter((cell) => !first!.has(cell) || !second!.has(cell));
  if (alone.length === 0) return;
  const more = alone.length > 10 ? ` and ${alone.length - 10} more` : '';
  throw new XlembedError(
    'INVALID_ARGUMENT',
    `expected ${setting} results in the same languages, received in one of them alone: ${alone.slice(0, 10).join(', ')}${more}`,
    'evaluate both with the same --languages, and bitext with or without --all-pairs',
  );
}

function languagesOf(cell: GridCell | PoolRow): string {
  return 'passageLanguage' in cell ? `${cell.queryLanguage}-${cell.passageLanguage}` : cell.queryLanguage;
}

/** The cells of the grid, or rows of the pool, that make up a kind of setting. */
export function cellsOf({ grid, pool }: EvaluationResult, setting: Setting): (GridCell | PoolRow)[] {
  if (setting === 'multilingual') return pool;
  return grid.filter((cell) => (cell.queryLanguage === cell.passageLanguage) === (setting === 'monolingual'));
}

function scoresOf(cell: QueryScores | undefined, measure: string): number[] {
  if (!cell)
    throw invalidArgument('result', 'one with query scores', 'none', 'evaluate with keepQueryScores');
  const scores = Object.hasOwn(cell.scores, measure) ? cell.scores[measure] : undefined;
  if (!scores) throw invalidArgument('measure', `one of ${Object.keys(cell.scores).join(', ')}`, measure);
  return scores;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
