import { clip, languageName, score, words } from '../format.js';
import { type Html, html, NOTHING } from '../html.js';
import type { SearchExample, SearchResult } from '../results.js';

const MOST_CHARACTERS = 240;
const MOST_QUERIES = 40;

/** Examples of one query, in order of first appearance. */
function byQuery(examples: readonly SearchExample[]): SearchExample[][] {
  const groups = new Map<string, SearchExample[]>();
  for (const example of examples) {
    const key = JSON.stringify([example.queryLanguage, example.query]);
    groups.set(key, [...(groups.get(key) ?? []), example]);
  }
  return [...groups.values()];
}

/** Texts bring their own direction (dir="auto"): Arabic runs from right to left in an English page. */
function text(content: string, language: string): Html {
  return html`<span dir="auto" lang="${language}">${clip(content, MOST_CHARACTERS)}</span>`;
}

function resultItem({ text: passage, language, score: value, correct }: SearchResult): Html {
  const [mark, said] = correct ? ['✓', 'correct'] : ['·', 'not an answer'];
  return html`<li class="${correct ? 'correct' : 'other'}"><span class="mark" aria-hidden="true">${mark}</span>
<div class="result" dir="auto" lang="${language}">${clip(passage, MOST_CHARACTERS)}</div>
<span class="origin"><bdi title="${languageName(language)}">${language}</bdi> ${score(value)}<span class="hidden"> ${said}</span></span></li>\n`;
}

function resultList({ regime, results }: SearchExample): Html {
  const heading = regime === undefined ? NOTHING : html`<h4>${words(regime)}</h4>\n`;
  return html`<div>${heading}<ol>
${results.map(resultItem)}</ol></div>\n`;
}

function searchCard(examples: readonly SearchExample[]): Html {
  const { query, queryLanguage } = examples[0]!;
  return html`<article class="search">
<h3>${text(query, queryLanguage)} <bdi class="tag" title="${languageName(queryLanguage)}">${queryLanguage}</bdi></h3>
<div class="columns">${examples.map(resultList)}</div>
</article>\n`;
}

/** What the models find: queries with their first results, the regimes side by side. */
export function searchSection(examples: readonly SearchExample[]): Html {
  const queries = byQuery(examples);
  if (queries.length === 0) return NOTHING;
  const left = queries.length - MOST_QUERIES;
  const cut = left > 0 ? ` ${left} further queries are in the results, but not shown.` : '';
  return html`<section>
<h2>Example searches</h2>
<p class="soft">First results over the passages of all languages, with language and cosine similarity; ✓ marks a
correct one. Texts are cut at ${MOST_CHARACTERS} characters.${cut}</p>
${queries.slice(0, MOST_QUERIES).map(searchCard)}</section>`;
}
