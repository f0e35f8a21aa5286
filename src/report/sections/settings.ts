import type { EvaluationResult } from '../../evaluation/results.js';
import {
  differenceScale,
  type MatrixCell,
  MOST_LANGUAGES,
  rampScale,
  renderMatrix,
} from '../charts/matrix.js';
import type { EvaluatedModel } from '../evaluation_results.js';
import { MAIN_MEASURE } from '../evaluation_results.js';
import { score, signedScore } from '../format.js';
import { cleanText, type Html, html, NOTHING } from '../html.js';
import { sortableTable, type TableCell } from './sortable_table.js';

const MOST_ROWS = 400;

type Grid = Map<string, number>;
const key = (query: string, passage: string) => `${query}\n${passage}`;

function gridOf({ grid, kind }: EvaluationResult): Grid {
  return new Map(
    grid.flatMap(({ queryLanguage, passageLanguage, measures }) => {
      const value = measures[MAIN_MEASURE[kind]];
      return value === undefined ? [] : [[key(queryLanguage, passageLanguage), value] as const];
    }),
  );
}

/** Query language by passage language: every model, its difference to the first, and all settings as a table. */
export async function settingsSection(models: readonly EvaluatedModel[]): Promise<Html> {
  const measure = MAIN_MEASURE[models[0]!.result.kind];
  const grids = models.map(({ result }) => gridOf(result));
  const languages = [...new Set(models.flatMap(({ result }) => result.languages))];
  const shown = languages.slice(0, MOST_LANGUAGES);
  const hidden = languages.length - shown.length;
  return html`<section>
<h2>${measure} by language</h2>
${await heatmaps(models, grids, shown, measure)}
${hidden > 0 ? html`<p class="soft">${hidden} further languages are in the table and the CSV, but not drawn.</p>` : NOTHING}
<h3>All settings</h3>
${settingsTable(models, grids, measure)}
</section>`;
}

async function heatmaps(
  models: readonly EvaluatedModel[],
  grids: readonly Grid[],
  languages: readonly string[],
  measure: string,
): Promise<Html> {
  const drawn = new Set(languages);
  const keys = [...grids[0]!.keys()].filter((one) =>
    one.split('\n').every((language) => drawn.has(language)),
  );
  if (!keys.some((one) => new Set(one.split('\n')).size === 2)) return NOTHING;
  const order = languages.map(cleanText);
  const cellsOf = (valueAt: (of: string) => number | undefined): MatrixCell[] =>
    keys.flatMap((one) => {
      const value = valueAt(one);
      const [query, passage] = one.split('\n').map(cleanText);
      return value === undefined
        ? []
        : [{ query: query!, passage: passage!, value: Number(value.toFixed(4)) }];
    });
  const maximum = Math.max(
    0.1,
    Math.ceil(10 * Math.max(...grids.flatMap((grid) => [...grid.values()]))) / 10,
  );
  const figures: Html[] = [];
  for (const [m, { name }] of models.entries()) {
    const drawing = await renderMatrix(
      cellsOf((one) => grids[m]!.get(one)),
      order,
      rampScale(maximum),
      `${measure} of ${name} by query and passage language.`,
    );
    figures.push(html`<figure>${drawing}<figcaption><strong>${name}</strong></figcaption></figure>\n`);
  }
  for (const [m, { name }] of [...models.entries()].slice(1)) {
    const cells = cellsOf((one) => {
      const [own, first] = [grids[m]!.get(one), grids[0]!.get(one)];
      return own === undefined || first === undefined ? undefined : own - first;
    });
    const extreme = Math.max(0.05, ...cells.map(({ value }) => Math.abs(value)));
    const drawing = await renderMatrix(
      cells,
      order,
      differenceScale(extreme),
      `Difference in ${measure} between ${name} and ${models[0]!.name}.`,
    );
    figures.push(
      html`<figure>${drawing}<figcaption><strong>${name} − ${models[0]!.name}</strong>: blue where it is better, red where it is worse</figcaption></figure>\n`,
    );
  }
  return html`<p class="soft">Query language down, passage language across.</p>
<div class="ramp" aria-hidden="true">0<span></span>${maximum.toFixed(1)}</div>
<div class="figures">
${figures}</div>`;
}

function settingsTable(models: readonly EvaluatedModel[], grids: readonly Grid[], measure: string): Html {
  const [first] = models;
  const several = models.length > 1;
  const heads = [
    'Queries',
    'Passages',
    ...models.map(({ name }) => `${measure}, ${name}`),
    ...(several ? ['Last − first'] : []),
  ];
  const number = (value: number | undefined, format: (value: number) => string): TableCell =>
    value === undefined ? { text: '–', value: '' } : { text: format(value), value };
  const rows = first!.result.grid.slice(0, MOST_ROWS).map(({ queryLanguage, passageLanguage }) => {
    const values = grids.map((grid) => grid.get(key(queryLanguage, passageLanguage)));
    const [start, end] = [values[0], values.at(-1)];
    const difference = start === undefined || end === undefined ? undefined : end - start;
    return [
      { text: queryLanguage, value: queryLanguage },
      { text: passageLanguage, value: passageLanguage },
      ...values.map((value) => number(value, score)),
      ...(several ? [number(difference, signedScore)] : []),
    ];
  });
  const left = first!.result.grid.length - rows.length;
  return html`${sortableTable('Every setting', heads, rows)}
${left > 0 ? html`<p class="soft">${left} further settings are in the CSV.</p>` : NOTHING}`;
}
