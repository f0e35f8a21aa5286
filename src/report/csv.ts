import type { EvaluatedModel, EvaluationComparison } from './evaluation_results.js';

type Value = string | number | undefined;

/** RFC 4180: fields with commas, quotes or line ends between quotes. */
function csv(rows: readonly (readonly Value[])[]): string {
  const field = (value: Value) => {
    const text = value === undefined ? '' : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return rows.map((row) => `${row.map(field).join(',')}\r\n`).join('');
}

/** Every setting of every model with all its measures. */
export function settingsCsv(models: readonly EvaluatedModel[]): string {
  const cells = models.flatMap(({ name, result: { grid, pool } }) => [
    ...grid.map((cell) => ({ name, ...cell, languageBias: undefined })),
    ...pool.map((row) => ({ name, passageLanguage: 'all', languageBias: undefined, ...row })),
  ]);
  const measures = [...new Set(cells.flatMap((cell) => Object.keys(cell.measures)))];
  return csv([
    ['model', 'query_language', 'passage_language', 'queries', ...measures, 'language_bias'],
    ...cells.map((cell) => [
      ...[cell.name, cell.queryLanguage, cell.passageLanguage, cell.queries],
      ...measures.map((measure) => cell.measures[measure]),
      cell.languageBias,
    ]),
  ]);
}

/** The averages, their intervals and tests. */
export function comparisonCsv({ models, rows }: EvaluationComparison): string {
  const columns = ['value', 'low', 'high', 'difference', 'difference_low', 'difference_high', 'p'];
  return csv([
    ['setting', 'measure', 'model', ...columns],
    ...rows.flatMap(({ setting, measure, models: compared }) =>
      compared.map(({ value, interval, against }, m) => [
        ...[setting, measure, models[m]!.name, value, interval?.low, interval?.high],
        ...[against?.interval.mean, against?.interval.low, against?.interval.high, against?.test.pValue],
      ]),
    ),
  ]);
}

/** The bias matrix: which languages stand in the first ranks for queries of each language. */
export function sharesCsv(models: readonly EvaluatedModel[]): string {
  return csv([
    ['model', 'query_language', 'passage_language', 'share_of_first_10'],
    ...models.flatMap(({ name, result }) =>
      result.pool.flatMap(({ queryLanguage, languageShares }) =>
        Object.entries(languageShares).map(([language, share]) => [name, queryLanguage, language, share]),
      ),
    ),
  ]);
}
