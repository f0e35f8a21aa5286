import type { ComparedModel, ComparisonRow } from '../../evaluation/comparison_table.js';
import { type IntervalBar, renderIntervals } from '../charts/intervals.js';
import type { EvaluationComparison } from '../evaluation_results.js';
import { score, signedScore, words } from '../format.js';
import { type Html, html, NOTHING } from '../html.js';
import { legend } from './legend.js';
import { sortableTable, type TableCell } from './sortable_table.js';

const label = ({ setting, measure }: ComparisonRow) => `${words(setting)} ${measure}`;

/** Averages with intervals: a sortable table, and bars. */
export async function comparisonSection(
  { models, rows }: EvaluationComparison,
  colors: ReadonlyMap<string, string>,
): Promise<Html> {
  const heads = [
    'Measure',
    'Model',
    'Value',
    '95 % interval',
    ...(models.length > 1 ? ['Difference', 'Its interval', 'p'] : []),
  ];
  const body = rows.flatMap((row) =>
    row.models.map((compared, m) => [
      { text: label(row), value: label(row) },
      { text: models[m]!.name, value: models[m]!.name },
      ...cells(compared, models.length > 1),
    ]),
  );
  const bars = rows.flatMap((row) =>
    row.models.flatMap(({ value, interval }, m): IntervalBar[] =>
      value === undefined
        ? []
        : [{ row: label(row), model: models[m]!.name, value, low: interval?.low, high: interval?.high }],
    ),
  );
  const against =
    models.length > 1
      ? ` Differences are against ${models[0]!.name}; p is two-sided, by a paired permutation test, not corrected for the number of tests; below 0.05 it is marked green where the model is better than ${models[0]!.name}, red where it is worse.`
      : '';
  return html`<section>
<h2>Measures</h2>
${sortableTable('Measures of every model', heads, body)}
<p class="soft">Means over the settings. Intervals are bootstrapped over the questions, each with all its languages.${against}
Press a heading to sort.</p>
${bars.length === 0 ? NOTHING : html`<figure class="bars">${legend(colors)}${await renderIntervals(bars, colors, score)}</figure>`}
</section>`;
}

function cells({ value, interval, against }: ComparedModel, several: boolean): TableCell[] {
  const range = (of: { low: number; high: number } | undefined): TableCell =>
    of ? { text: `${score(of.low)} to ${score(of.high)}`, value: of.low } : { text: '–', value: '' };
  const one: TableCell[] = [
    value === undefined ? { text: '–', value: '' } : { text: score(value), value },
    range(interval),
  ];
  if (!several) return one;
  if (!against) return [...one, ...Array.from({ length: 3 }, () => ({ text: '–', value: '' }))];
  const { mean, low, high } = against.interval;
  const p = against.test.pValue;
  return [
    ...one,
    { text: signedScore(mean), value: mean },
    { text: `${signedScore(low)} to ${signedScore(high)}`, value: low },
    {
      text: p < 0.001 ? '< 0.001' : p.toFixed(3),
      value: p,
      ...(p < 0.05 && { marked: mean < 0 ? 'worse' : 'best' }),
    },
  ];
}
