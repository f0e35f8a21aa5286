import { type Line, renderLines } from '../charts/lines.js';
import { amount, score, words } from '../format.js';
import { type Html, html, NOTHING } from '../html.js';
import { LANGUAGE_BIAS } from '../measures.js';
import type { TrainingResults, ValidationPoint } from '../results.js';
import { scrollTable } from './measures.js';

/** Learning rate, code switching and validation measures over the steps of one run. */
export async function progressSection(run: TrainingResults['run']): Promise<Html> {
  const points = (key: 'learningRate' | 'switchRate') =>
    run.lossCurve.flatMap((point) =>
      point[key] === undefined ? [] : [{ step: point.step, value: point[key] }],
    );
  const [rates, switched] = [points('learningRate'), points('switchRate')];
  const validations = run.validations ?? [];
  if (rates.length + switched.length + validations.length === 0) return NOTHING;
  const figures = [
    await figure([{ name: 'learning rate', points: rates }], 'learning rate', 'Learning rate.'),
    await figure(
      [{ name: 'switch rate', points: switched }],
      'switch rate',
      'Share of the words that code switching replaced.',
    ),
  ];
  return html`<section><h2>Progress</h2><div class="figures">${figures}</div>
${await validationPart(validations)}</section>`;
}

async function figure(lines: readonly Line[], title: string, caption: string): Promise<Html> {
  const drawn = lines.filter(({ points }) => points.length > 0);
  if (drawn.length === 0) return NOTHING;
  return html`<figure>${await renderLines(drawn, title)}<figcaption>${caption}</figcaption></figure>\n`;
}

async function validationPart(validations: readonly ValidationPoint[]): Promise<Html> {
  const names = [...new Set(validations.flatMap(({ measures }) => Object.keys(measures)))];
  if (names.length === 0) return NOTHING;
  const lineOf = (name: string): Line => ({
    name: words(name),
    points: validations.flatMap(({ step, measures }) =>
      measures[name] === undefined ? [] : [{ step, value: measures[name] }],
    ),
  });
  const apart = ['loss', LANGUAGE_BIAS].filter((name) => names.includes(name));
  const together = names.filter((name) => !apart.includes(name));
  const figures = [
    await figure(together.map(lineOf), 'score', 'Measures on texts that no batch holds; higher is better.'),
    ...(await Promise.all(
      apart.map((name) => figure([lineOf(name)], words(name), `${words(name)}; lower is better.`)),
    )),
  ];
  const rows = validations.map(({ step, measures }) => {
    const cells = names.map((name) => html`<td>${valueText(name, measures[name])}</td>`);
    return html`<tr><th scope="row">${step}</th>${cells}</tr>\n`;
  });
  return html`<h3>Evaluation during training</h3><div class="figures">${figures}</div>
${scrollTable('Measures by step', ['Step', ...names.map(words)], rows)}`;
}

function valueText(name: string, value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return '–';
  return name === LANGUAGE_BIAS ? amount(value) : score(value);
}
