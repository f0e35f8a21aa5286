import type { MeasureNames } from './measures/measure.js';
import type { GridCell, GroupSummary, PoolRow } from './results.js';

/**
 * Macro-averages, as in the paper: each setting (a cell of the grid, a row of the pool) counts once, however many
 * queries it has. A setting that the grid has no cell for has no key, nor has a measure that a cell lacks.
 */
export function summarize(
  grid: readonly GridCell[],
  pool: readonly PoolRow[],
  measures: readonly MeasureNames[],
): Record<string, number> {
  const monolingual = grid.filter((cell) => cell.queryLanguage === cell.passageLanguage);
  const crossLingual = grid.filter((cell) => cell.queryLanguage !== cell.passageLanguage);
  const biases = pool.flatMap(({ languageBias }) => (languageBias === undefined ? [] : [languageBias]));
  return {
    ...settingMeans('monolingual', monolingual, measures),
    ...settingMeans('cross_lingual', crossLingual, measures),
    ...settingMeans('multilingual', pool, measures),
    ...(biases.length > 0 ? { language_bias: mean(biases) } : {}),
  };
}

/** The averages of one group of languages, for example those that training saw or those it did not. */
export function summarizeGroup(
  group: readonly string[],
  languages: readonly string[],
  grid: readonly GridCell[],
  pool: readonly PoolRow[],
  measures: readonly MeasureNames[],
): GroupSummary {
  const members = new Set(group);
  const hasQueries = ({ queryLanguage }: GridCell | PoolRow) => members.has(queryLanguage);
  const hasPassages = ({ passageLanguage }: GridCell) => members.has(passageLanguage);
  const touching = grid.filter(
    (cell) => cell.queryLanguage !== cell.passageLanguage && (hasQueries(cell) || hasPassages(cell)),
  );
  return {
    languages: languages.filter((language) => members.has(language)),
    absent: group.filter((language) => !languages.includes(language)),
    measures: {
      ...summarize(
        grid.filter((cell) => hasQueries(cell) && hasPassages(cell)),
        pool.filter(hasQueries),
        measures,
      ),
      ...settingMeans('cross_lingual_touching', touching, measures),
    },
  };
}

function settingMeans(
  setting: string,
  cells: readonly { measures: Record<string, number> }[],
  measures: readonly MeasureNames[],
): Record<string, number> {
  if (cells.length === 0) return {};
  return Object.fromEntries(
    measures
      .filter(({ name }) => cells.every((cell) => name in cell.measures))
      .map(({ name, key }) => [`${setting}_${key}`, mean(cells.map((cell) => cell.measures[name]!))]),
  );
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
