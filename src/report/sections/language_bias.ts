import { type IntervalBar, renderIntervals } from '../charts/intervals.js';
import { rampScale, renderMatrix } from '../charts/matrix.js';
import type { EvaluatedModel } from '../evaluation_results.js';
import { amount } from '../format.js';
import { cleanText, type Html, html, NOTHING } from '../html.js';
import { legend } from './legend.js';

/** Rank distance by query language, and which languages stand in the first ranks; nothing without a pool. */
export async function languageBiasSection(
  models: readonly EvaluatedModel[],
  colors: ReadonlyMap<string, string>,
): Promise<Html> {
  if (models.every(({ result }) => result.pool.length === 0)) return NOTHING;
  const bars = models.flatMap(({ name, result }) =>
    result.pool.flatMap(({ queryLanguage, languageBias }): IntervalBar[] =>
      languageBias === undefined
        ? []
        : [{ row: queryLanguage, model: name, value: languageBias, low: undefined, high: undefined }],
    ),
  );
  return html`<section>
<h2>Language bias</h2>
${bars.length === 0 ? NOTHING : await distances(bars, colors)}
<h3>Languages of the first ten passages</h3>
<p class="soft">Share of each passage language among the first ten of the pool, by query language; each row sums to 1. An
unbiased model gives every language the same share${evenShare(models)}.</p>
<div class="figures">
${await Promise.all(models.map(shares))}</div>
</section>`;
}

async function distances(bars: readonly IntervalBar[], colors: ReadonlyMap<string, string>): Promise<Html> {
  return html`<figure class="bars">${legend(colors)}${await renderIntervals(bars, colors, amount)}<figcaption>How many ranks lie between
the first and the last of a query’s answers, one per language, in the pool of all languages; mean over the queries of a
language. Lower is better.</figcaption></figure>`;
}

function evenShare(models: readonly EvaluatedModel[]): string {
  const { length } = models[0]!.result.languages;
  return length > 0 ? `, ${(1 / length).toFixed(2)} for ${length} languages` : '';
}

async function shares({ name, result }: EvaluatedModel): Promise<Html> {
  const cells = result.pool.flatMap(({ queryLanguage, languageShares }) =>
    Object.entries(languageShares).map(([language, share]) => ({
      query: cleanText(queryLanguage),
      passage: cleanText(language),
      value: Number(share.toFixed(4)),
    })),
  );
  const drawing = await renderMatrix(
    cells,
    result.languages.map(cleanText),
    rampScale(1),
    `Share of each language in the first ten passages that ${name} finds, by query language.`,
  );
  return html`<figure>${drawing}<figcaption><strong>${name}</strong></figcaption></figure>\n`;
}
