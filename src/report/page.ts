import { createHash } from 'node:crypto';
import { duration, languageName } from './format.js';
import { Html, html, NOTHING } from './html.js';
import type { RunFacts } from './results.js';
import { STYLE } from './style.js';

/** Nothing may be loaded and nothing may run but the page's own script, whatever a text contains. */
function policy(script: string): string {
  const own = script && `; script-src 'sha256-${createHash('sha256').update(script).digest('base64')}'`;
  return `default-src 'none'; style-src 'unsafe-inline'${own}`;
}

/** A whole document: header with title, summary and languages, then the sections, then the facts. */
export function page(
  facts: RunFacts,
  summary: readonly string[],
  sections: readonly Html[],
  script = '',
): string {
  return html`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${policy(script)}">
<meta name="color-scheme" content="light dark">
<title>${facts.title}</title>
<style>${new Html(STYLE)}</style>
</head>
<body>
<main>
<header>
<h1>${facts.title}</h1>
<p class="soft">${createdAt(facts.createdAt)}</p>
${summary.map((paragraph) => html`<p class="summary">${paragraph}</p>\n`)}
${languageLists(facts.languages)}
</header>
${sections}
${factsSection(facts)}
</main>
${script ? new Html(`<script>${script}</script>\n`) : NOTHING}</body>
</html>
`.markup;
}

function createdAt(iso: string): Html {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return html`${iso}`;
  const shown = `${date.toISOString().slice(0, 16).replace('T', ' ')} UTC`;
  return html`<time datetime="${date.toISOString()}">${shown}</time>`;
}

function languageLists({ trained, zeroShot }: RunFacts['languages']): Html {
  return html`${languageList('Trained languages', 'trained', trained)}
${languageList('Zero-shot languages, never seen in training', 'zero-shot', zeroShot)}`;
}

function languageList(label: string, style: string, languages: readonly string[]): Html {
  if (languages.length === 0) return NOTHING;
  const items = languages.map((tag) => {
    const name = languageName(tag);
    return html`<li>${tag}${name === tag ? NOTHING : html` <small>${name}</small>`}</li>`;
  });
  return html`<p class="soft">${label}</p>
<ul class="languages ${style}" aria-label="${label}">${items}</ul>`;
}

/** Two columns, name and value. */
export function factsTable(caption: string, rows: readonly (readonly [string, string])[]): Html {
  if (rows.length === 0) return NOTHING;
  const body = rows.map(([name, value]) => html`<tr><th scope="row">${name}</th><td>${value}</td></tr>\n`);
  return html`<div><h3>${caption}</h3>
<div class="scroll" tabindex="0" role="region" aria-label="${caption}"><table class="facts">
<tbody>
${body}</tbody>
</table></div></div>`;
}

/** Lists of plain words and numbers read best without JSON's quotes. */
function settingText(value: unknown): string {
  const plain = (item: unknown) =>
    typeof item === 'number' || (typeof item === 'string' && /^\S+$/.test(item));
  if (Array.isArray(value) && value.every(plain)) return value.join(', ');
  return typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value);
}

/** Rows of a table of facts; what was not set has none. */
export const settingRows = (settings: Record<string, unknown>) =>
  Object.entries(settings)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => [name, settingText(value)] as const);

/** Everything needed to make the same results again. */
function factsSection(facts: RunFacts): Html {
  const times = Object.entries(facts.times).map(([key, seconds]) => [key, duration(seconds)] as const);
  return html`<section>
<h2>How it was made</h2>
<pre><code>${facts.command}</code></pre>
${factsTable('Settings', settingRows(facts.settings))}
<div class="figures">
${factsTable('Versions', Object.entries(facts.versions))}
${factsTable('Times', times)}
</div>
</section>`;
}
