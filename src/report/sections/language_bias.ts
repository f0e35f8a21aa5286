import { type IntervalBar, renderIntervals } from '../charts/intervals.js';
import { MOST_LANGUAGES, rampScale, renderMatrix } from '../charts/matrix.js';
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
  const languages = [...new Set(models.flatMap(({ result }) => result.languages))];
  const drawn = languages.slice(0, MOST_LANGUAGES);
  const hidden = languages.length - drawn.length;
  const cut = hidden > 0 ? ` ${hidden} further languages are in the CSV, but not drawn.` : '';
  return html`<section>
<h2>Language bias</h2>
${bars.length === 0 ? NOTHING : await distances(bars, colors)}
<h3>Languages of the first ten passages</h3>
<p class="soft">Share of each passage language among the first ten of the pool, by query language; each row sums to 1. An
unbiased model gives every language the same share, ${(1 / languages.length).toFixed(2)} for ${languages.length} languages.${cut}</p>
<div class="figures">
${await Promise.all(models.map((model) => shares(model, drawn)))}</div>
</section>`;
}

async function distances(bars: readonly IntervalBar[], colors: ReadonlyMap<string, string>): Promise<Html> {
  return html`<figure class="bars">${legend(colors)}${await renderIntervals(bars, colors, amount)}<figcaption>How many ranks lie between
the first and the last of a query’s answers, one per language, in the pool of all languages; mean over the queries of a
language. Lower is better.</figcaption></figure>`;
}

async function shares({ name, result }: EvaluatedModel, languages: readonly string[]): Promise<Html> {
  const cells = result.pool
    .filter(({ queryLanguage }) => languages.includes(queryLanguage))
    .flatMap(({ queryLanguage, languageShares }) =>
      Object.entries(languageShares)
        .filter(([language]) => languages.includes(language))
        .map(([language, share]) => ({
          query: cleanText(queryLanguage),
          passage: cleanText(language),
          value: Number(share.toFixed(4)),
        })),
    );
  const drawing = await renderMatrix(
    cells,
    languages.map(cleanText),
    rampScale(1),
    `Share of each language in the first ten passages that ${name} finds, by query language.`,
  );
  return html`<figure>${drawing}<figcaption><strong>${name}</strong></figcaption></figure>\n`;
}
