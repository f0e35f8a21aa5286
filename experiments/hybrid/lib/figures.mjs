import { bootstrapInterval } from 'xlembed';
import { heatmapAxis, heatmapMaximum, renderHeatmap } from '#xlembed/report/charts/heatmap.js';
import { renderIntervals } from '#xlembed/report/charts/intervals.js';
import { TRAINED, ZERO_SHOT } from './languages.mjs';
import { byRegime, mean } from './results.mjs';
import { nameOf } from './tables.mjs';

const COLORS = {
  pretrained: '#7d8590',
  monolingual: '#d9730d',
  cross_lingual: '#2f81d6',
  hybrid_50: '#12996a',
  shuffled: '#b5539c',
  code_switching: '#a3821a',
  hybrid_25: '#6fbf9f',
  hybrid_75: '#0b6b49',
};
const SETTINGS = {
  'within a language': 'monolingual AP',
  'across languages': 'cross_lingual AP',
  'common pool': 'multilingual AP',
};

const LEGEND_LINE = 16;

/** Grey ink that is read on white and on black, for a file that no page colours. */
function standalone({ markup }) {
  const own = 'color:#7d8590;font-family:sans-serif;';
  return markup.replace(/<svg ([^>]*?)style="/, `<svg xmlns="http://www.w3.org/2000/svg" $1style="${own}`);
}

/** What each colour is, below the bars. */
function withLegend(svg, colors) {
  const [, width, bars] = /viewBox="0 0 ([\d.]+) ([\d.]+)"/.exec(svg).map(Number);
  const height = bars + colors.size * LEGEND_LINE + 8;
  const lines = [...colors].map(([name, color], i) => {
    const y = bars + i * LEGEND_LINE;
    return `<rect x="174" y="${y}" width="11" height="11" fill="${color}"/><text x="191" y="${y + 10}" fill="currentColor" font-size="12">${name}</text>`;
  });
  return svg
    .replace(
      /width="[\d.]+" height="[\d.]+" viewBox="[^"]*"/,
      `width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"`,
    )
    .replace('</svg>', `${lines.join('')}</svg>`);
}

async function barFigure(bars, regimes, format) {
  const colors = new Map([...regimes.keys()].map((regime) => [nameOf(regime), COLORS[regime]]));
  return withLegend(standalone(await renderIntervals(bars, colors, format)), colors);
}

/** XQuAD-R by setting: means over seeds, intervals over questions. */
export async function mapFigure(results, encoder) {
  const regimes = byRegime(results, encoder);
  const bars = Object.entries(SETTINGS).flatMap(([row, key]) =>
    [...regimes].flatMap(([regime, list]) => {
      const scores = list.map(({ questions }) => questions['xquad-r']?.scores[key]).filter(Boolean);
      if (scores.length === 0) return [];
      const perQuestion = scores[0].map((_, i) => mean(scores.map((one) => one[i])));
      const { mean: value, low, high } = bootstrapInterval(perQuestion, { resamples: 2000 });
      return [{ row, model: nameOf(regime), value, low, high }];
    }),
  );
  return barFigure(bars, regimes, (value) => value.toFixed(3));
}

/** Language bias: mean over seeds. */
export async function biasFigure(results, encoder) {
  const regimes = byRegime(results, encoder);
  const bars = [...regimes].flatMap(([regime, list]) => {
    const values = list
      .map(({ evaluation }) => evaluation.tasks['xquad-r']?.measures.language_bias)
      .filter((value) => value !== undefined);
    const range =
      values.length > 1
        ? { low: Math.min(...values), high: Math.max(...values) }
        : { low: undefined, high: undefined };
    return values.length > 0
      ? [{ row: 'language bias (ranks)', model: nameOf(regime), value: mean(values), ...range }]
      : [];
  });
  return barFigure(bars, regimes, (value) => value.toFixed(0));
}

/** mAP by query and passage language of one regime, mean over seeds. */
export async function gridFigure(results, encoder, regime) {
  const list = byRegime(results, encoder)
    .get(regime)
    ?.filter(({ evaluation }) => evaluation.tasks['xquad-r']);
  if (!list?.length) return undefined;
  const grid = list[0].evaluation.tasks['xquad-r'].grid.map((cell, i) => ({
    ...cell,
    queries: 1,
    measures: { map: mean(list.map(({ evaluation }) => evaluation.tasks['xquad-r'].grid[i].AP)) },
  }));
  const axis = heatmapAxis(grid, { trained: TRAINED, zeroShot: ZERO_SHOT }, 11);
  return standalone(
    await renderHeatmap(`${nameOf(encoder)}, ${nameOf(regime)}`, grid, axis, heatmapMaximum([grid])),
  );
}
