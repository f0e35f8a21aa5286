import { renderBars } from '../charts/bars.js';
import { heatmapAxis, heatmapMaximum, renderHeatmap } from '../charts/heatmap.js';
import { regimeColors } from '../charts/palette.js';
import { score, words } from '../format.js';
import { Html, html, NOTHING } from '../html.js';
import { kindTitle } from '../kinds.js';
import { bestOf, columnsOf, kindsOf, LANGUAGE_BIAS, type MeasureColumn, valueIn } from '../measures.js';
import type { EvaluationSummary, ExperimentResults, RegimeResult } from '../results.js';
import { transferOf } from '../transfer.js';

/** Cells of all heatmaps of a report together: about 100 bytes each, within a page of under 1 MB. */
const MOST_CELLS = 5000;
const FEWEST_LANGUAGES = 8;

export function swatch(color: string): Html {
  return new Html(`<span class="swatch" style="background:${color}" aria-hidden="true"></span>`);
}

/** A value, marked where it is the best of its column. */
function cell(value: number | undefined, best: number | undefined, format: (value: number) => string): Html {
  if (value === undefined || !Number.isFinite(value)) return html`<td>–</td>`;
  if (value !== best) return html`<td>${format(value)}</td>`;
  return html`<td class="best">${format(value)}<span class="hidden"> (best)</span></td>`;
}

/** A table that scrolls sideways where it is wider than the page. */
export function scrollTable(caption: string, head: readonly string[], rows: readonly Html[]): Html {
  const headers = head.map((text) => html`<th scope="col">${text}</th>`);
  return html`<div class="scroll" tabindex="0" role="region" aria-label="${caption}"><table>
<caption class="hidden">${caption}</caption>
<thead><tr>${headers}</tr></thead>
<tbody>
${rows}</tbody>
</table></div>`;
}

export function regimeHeader(regime: Pick<RegimeResult, 'name'>, color: string): Html {
  return html`<th scope="row">${swatch(color)}${words(regime.name)}</th>`;
}

function measuresTable({ regimes, chance }: ExperimentResults, kind: string): Html {
  const columns = columnsOf(regimes, kind);
  const colors = regimeColors(regimes.map((regime) => regime.name));
  const best = columns.map((column) => bestOf(regimes, kind, column));
  const rows = regimes.map((regime, r) => {
    const cells = columns.map((column, c) => cell(valueIn(regime, kind, column.key), best[c], column.format));
    return html`<tr>${regimeHeader(regime, colors[r]!)}${cells}</tr>\n`;
  });
  const heads = ['Regime', ...columns.map(columnLabel)];
  return scrollTable(`Measures on ${kind}`, heads, [...rows, chanceRow(columns, chance[kind] ?? {})]);
}

const columnLabel = ({ label, better }: MeasureColumn) =>
  better === null ? label : `${label} ${better === 'higher' ? '↑' : '↓'}`;

function chanceRow(columns: readonly MeasureColumn[], chance: Record<string, number>): Html {
  if (Object.keys(chance).length === 0) return NOTHING;
  const cells = columns.map((column) => cell(chance[column.key], undefined, column.format));
  return html`<tr class="chance"><th scope="row">Chance level</th>${cells}</tr>\n`;
}

type Measured = { regime: RegimeResult; evaluation: EvaluationSummary; color: string };

/** Mean mAP for trained and for zero-shot languages; the groups that no setting belongs to are left out. */
function transferTable(measured: readonly Measured[], { languages }: ExperimentResults, kind: string): Html {
  const rows = measured.map(({ evaluation }) => transferOf(evaluation, languages));
  const groups = (rows[0] ?? []).flatMap(({ settings }, g) => (settings > 0 ? [g] : []));
  if (groups.length < 2) return NOTHING;
  const best = groups.map((g) => Math.max(...rows.map((row) => row[g]!.map ?? Number.NEGATIVE_INFINITY)));
  const body = measured.map(({ regime, color }, r) => {
    const cells = groups.map((g, c) =>
      cell(rows[r]![g]!.map, measured.length > 1 ? best[c] : undefined, score),
    );
    return html`<tr>${regimeHeader(regime, color)}${cells}</tr>\n`;
  });
  const heads = groups.map((g) => `${rows[0]![g]!.label} (${rows[0]![g]!.settings})`);
  return html`<h3>Trained and zero-shot languages</h3>
<p class="soft">Mean mAP over the settings; in brackets, how many. A cross-lingual setting is zero-shot when
either of its languages is.</p>
${scrollTable(`Mean mAP of trained and zero-shot languages on ${kind}`, ['Regime', ...heads], body)}`;
}

async function heatmaps(
  measured: readonly Measured[],
  { languages }: ExperimentResults,
  most: number,
): Promise<Html> {
  const grids = measured.map(({ evaluation }) => evaluation.grid);
  const axis = heatmapAxis(grids.flat(), languages, most);
  if (axis.trained.length + axis.zeroShot.length === 0) return NOTHING;
  const maximum = heatmapMaximum(grids);
  const figures: Html[] = [];
  for (const { regime, evaluation, color } of measured) {
    const name = words(regime.name);
    const drawing = await renderHeatmap(name, evaluation.grid, axis, maximum);
    figures.push(
      html`<figure>${drawing}<figcaption>${swatch(color)}<strong>${name}</strong></figcaption></figure>\n`,
    );
  }
  const asterisk =
    axis.zeroShot.length > 0 && axis.trained.length > 0 ? ' An asterisk marks a zero-shot language.' : '';
  const hidden =
    axis.hidden > 0 ? ` ${axis.hidden} further languages are in the results, but not drawn.` : '';
  return html`<h3>mAP by language</h3>
<p class="soft">Query language down, passage language across; one colour scale for all.${asterisk}${hidden}</p>
<div class="ramp" aria-hidden="true">0<span></span>${maximum.toFixed(1)}</div>
<div class="figures">
${figures}</div>`;
}

async function biasBars(measured: readonly Measured[]): Promise<Html> {
  const bars = measured.flatMap(({ regime, evaluation }) => {
    const value = evaluation.measures[LANGUAGE_BIAS];
    return value !== undefined && Number.isFinite(value) ? [{ name: regime.name, value }] : [];
  });
  if (bars.length === 0) return NOTHING;
  const drawing = await renderBars('Language bias in ranks', bars);
  return html`<h3>Language bias</h3>
<figure class="narrow">${drawing}<figcaption>How many ranks lie between the first and the last of a query’s answers,
one per language, in one ranking of all languages; mean over queries. Lower is better.</figcaption></figure>`;
}

/** One section for each kind of text: measures, trained against zero-shot, heatmaps, language bias. */
export async function measureSections(results: ExperimentResults): Promise<Html[]> {
  const kinds = kindsOf(results.regimes);
  const drawings = Math.max(1, kinds.length * results.regimes.length);
  const most = Math.max(FEWEST_LANGUAGES, Math.floor(Math.sqrt(MOST_CELLS / drawings)));
  const colors = regimeColors(results.regimes.map((regime) => regime.name));
  const sections: Html[] = [];
  for (const kind of kinds) {
    const measured = results.regimes.flatMap((regime, r) => {
      const evaluation = regime.evaluations[kind];
      return evaluation ? [{ regime, evaluation, color: colors[r]! }] : [];
    });
    sections.push(html`<section>
<h2>${kindTitle(kind)}</h2>
${measuresTable(results, kind)}
<p class="soft">↑ higher is better, ↓ lower is better; the best of a column is marked. One run for each regime:
small differences may be chance.</p>
${transferTable(measured, results, kind)}
${await heatmaps(measured, results, most)}
${await biasBars(measured)}
</section>`);
  }
  return sections;
}
