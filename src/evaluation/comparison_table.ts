import {
  type Comparison,
  cellsOf,
  compareResults,
  questionScores,
  requireSameCells,
  type Setting,
} from './compare.js';
import type { EvaluationResult } from './results.js';
import {
  type BootstrapOptions,
  bootstrapInterval,
  type Interval,
  type PermutationOptions,
} from './statistics.js';

/** One measure in one kind of setting, of every model. */
export interface ComparisonRow {
  setting: Setting;
  /** As ir_measures spells it. */
  measure: string;
  models: ComparedModel[];
}

export interface ComparedModel {
  /** The macro-average, with its confidence interval over the questions; undefined where it was not measured. */
  value: number | undefined;
  interval: Interval | undefined;
  /** Against the first model; undefined for the first, and where a side has no scores by question. */
  against: Comparison | undefined;
}

/**
 * Every measure that a result has. One without scores by question, such as F1 or a correlation, has neither interval nor
 * test. Throws INVALID_ARGUMENT for results in other languages than the first, or on other queries.
 */
export function comparisonRows(
  results: readonly EvaluationResult[],
  options: BootstrapOptions & PermutationOptions = {},
): ComparisonRow[] {
  const [first] = results;
  const settings: Setting[] = ['monolingual', 'cross_lingual', 'multilingual'];
  for (const setting of settings) {
    for (const result of results) requireSameCells(first!, result, setting);
  }
  return settings.flatMap((setting) =>
    measuresOf(results, setting).map((measure) => ({
      setting,
      measure,
      models: results.map((result) => compared(first!, result, setting, measure, options)),
    })),
  );
}

/** Those that some result has in all its cells. */
function measuresOf(results: readonly EvaluationResult[], setting: Setting): string[] {
  const cells = results.flatMap((result) => cellsOf(result, setting));
  const names = new Set(cells.flatMap(({ measures }) => Object.keys(measures)));
  return [...names].filter((measure) =>
    results.some((result) => averageOf(result, setting, measure) !== undefined),
  );
}

function compared(
  first: EvaluationResult,
  result: EvaluationResult,
  setting: Setting,
  measure: string,
  options: BootstrapOptions & PermutationOptions,
): ComparedModel {
  const value = averageOf(result, setting, measure);
  const scored = hasScores(result, setting, measure);
  const interval = scored
    ? bootstrapInterval([...questionScores(result, setting, measure).values()], options)
    : undefined;
  const against =
    result !== first && scored && hasScores(first, setting, measure)
      ? compareResults(result, first, { ...options, setting, measure })
      : undefined;
  return { value, interval, against };
}

function averageOf(result: EvaluationResult, setting: Setting, measure: string): number | undefined {
  const values = cellsOf(result, setting).map(({ measures }) => measures[measure]);
  if (values.length === 0 || values.some((value) => value === undefined)) return undefined;
  return values.reduce<number>((sum, value) => sum + value!, 0) / values.length;
}

function hasScores(result: EvaluationResult, setting: Setting, measure: string): boolean {
  const cells = cellsOf(result, setting);
  return cells.length > 0 && cells.every(({ queryScores }) => queryScores && measure in queryScores.scores);
}
