import { amount, list, words } from './format.js';
import { kindName } from './kinds.js';
import { bestOf, columnsOf, kindsOf, LANGUAGE_BIAS, type MeasureColumn, valueIn } from './measures.js';
import type { ExperimentResults, RegimeResult } from './results.js';

/** The measure that a summary leads with: the first of these that was taken. */
const LEADING = ['multilingual_map', 'cross_lingual_map', 'monolingual_map'];

const named = (regime: RegimeResult) => words(regime.name).toLowerCase();

function winners(regimes: readonly RegimeResult[], kind: string, column: MeasureColumn): RegimeResult[] {
  const best = bestOf(regimes, kind, column);
  return best === undefined ? [] : regimes.filter((regime) => valueIn(regime, kind, column.key) === best);
}

/** "(untrained 0.210, chance 0.012)": what a value is to be held against. */
function beside(results: ExperimentResults, kind: string, column: MeasureColumn): string {
  const untrained = results.regimes.find((regime) => regime.sampler === null);
  const start = untrained && valueIn(untrained, kind, column.key);
  const chance = results.chance[kind]?.[column.key];
  const parts = [
    ...(start === undefined ? [] : [`${named(untrained!)} ${column.format(start)}`]),
    ...(chance === undefined ? [] : [`chance ${column.format(chance)}`]),
  ];
  return parts.length === 0 ? '' : ` (${parts.join(', ')})`;
}

function leadSentence(results: ExperimentResults, kind: string, columns: MeasureColumn[]): string {
  const column = LEADING.flatMap((key) => columns.find((one) => one.key === key) ?? [])[0];
  const best = column && winners(results.regimes, kind, column);
  if (!column || !best?.[0]) return '';
  const value = column.format(valueIn(best[0], kind, column.key)!);
  const label = column.label.charAt(0).toLowerCase() + column.label.slice(1);
  return `On ${kindName(kind)}, ${list(best.map(named))} has the best ${label}: ${value}${beside(results, kind, column)}.`;
}

function countSentence(results: ExperimentResults, kind: string, columns: MeasureColumn[]): string {
  const judged = columns.filter((column) => winners(results.regimes, kind, column).length > 0);
  if (judged.length < 2) return '';
  const wins = results.regimes.map((regime) => {
    const won = judged.filter((column) => winners(results.regimes, kind, column).includes(regime));
    return { name: named(regime), count: won.length };
  });
  const [first, ...others] = wins.filter(({ count }) => count > 0).sort((a, b) => b.count - a.count);
  if (others.length === 0) return `The best in all ${judged.length} measures is ${first!.name}.`;
  const rest = others.map(({ name, count }) => `${name} in ${count}`);
  return `Of ${judged.length} measures, ${first!.name} is best in ${first!.count}, ${list(rest)}.`;
}

function biasSentence(results: ExperimentResults, kind: string, columns: MeasureColumn[]): string {
  const column = columns.find((one) => one.key === LANGUAGE_BIAS);
  const best = column && winners(results.regimes, kind, column);
  if (!column || !best?.[0]) return '';
  const ranks = amount(valueIn(best[0], kind, LANGUAGE_BIAS)!);
  const against = beside(results, kind, column);
  return `Language bias is lowest with ${list(best.map(named))}: ${ranks} ranks${against}.`;
}

/** One paragraph for each kind of text, from the numbers alone. */
export function summarize(results: ExperimentResults): string[] {
  const paragraphs = kindsOf(results.regimes).map((kind) => {
    const columns = columnsOf(results.regimes, kind);
    const sentences = [leadSentence, countSentence, biasSentence].map((say) => say(results, kind, columns));
    return sentences.filter((sentence) => sentence !== '').join(' ');
  });
  const said = paragraphs.filter((paragraph) => paragraph !== '');
  return said.length > 0 ? said : ['Nothing was compared.'];
}
