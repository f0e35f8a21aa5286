import { parseMeasure } from '../evaluation/measures/parse.js';
import type { EvaluationResult } from '../evaluation/results.js';

/** A result in a few lines for people. */
export function evaluationText(result: EvaluationResult & { seconds: number }): string {
  const { task, grid, languages, counts, seconds, pool } = result;
  const total = (of: Record<string, number>) => Object.values(of).reduce((sum, count) => sum + count, 0);
  const settings = `${grid.length} settings${pool.length > 0 ? ' and the pool' : ''}`;
  const texts = `${total(counts.queries)} queries, ${total(counts.candidates)} candidates`;
  const head = `${task}: ${languages.length} languages, ${texts}, ${settings}, ${seconds.toFixed(1)} s`;
  return [head, ...linesOf(result)].join('\n');
}

function linesOf(result: EvaluationResult): string[] {
  const chosen = Object.keys(result.grid[0]?.measures ?? {});
  const has = (names: readonly string[]) => names.every((name) => chosen.includes(name));
  if (result.kind === 'retrieval')
    return has(['AP', 'RR', 'nDCG@10', 'R@1', 'R@10']) ? retrievalLines(result) : chosenLines(result, chosen);
  if (result.kind === 'collection') {
    const usual = ['nDCG@10', 'RR', 'R@10', 'R@100'];
    return cellLines(result, has(usual) ? usual : chosen);
  }
  if (result.kind === 'bitext') return cellLines(result, ['Accuracy', 'MarginAccuracy', 'F1']);
  return cellLines(result, ['Spearman', 'Pearson']);
}

function retrievalLines({ measures }: EvaluationResult): string[] {
  const value = (name: string) => cell(measures[name]);
  const row = (label: string, setting: string, recall: string) =>
    `${label.padEnd(14)}${value(`${setting}_map`)}${value(`${setting}_mrr`)}${value(`${setting}_ndcg_at_10`)}${value(`${setting}_${recall}`)}  ${recall}`;
  return [
    `${''.padEnd(14)}${['mAP', 'MRR', 'nDCG@10', 'Recall'].map((name) => name.padStart(10)).join('')}`,
    row('monolingual', 'monolingual', 'recall_at_1'),
    row('cross-lingual', 'cross_lingual', 'recall_at_1'),
    row('multilingual', 'multilingual', 'recall_at_10'),
    biasLine(measures),
  ];
}

/** A line for each measure that was chosen in place of the usual. */
function chosenLines({ measures }: EvaluationResult, names: readonly string[]): string[] {
  const settings = ['monolingual', 'cross_lingual', 'multilingual'];
  const line = (name: string) => {
    const { key } = parseMeasure(name);
    return `${name.padEnd(14)}${settings.map((setting) => cell(measures[`${setting}_${key}`], setting.length)).join('')}`;
  };
  const heads = settings.map((setting) => setting.replace('_', '-').padStart(setting.length + 2));
  return [`${''.padEnd(14)}${heads.join('')}`, ...names.map(line), biasLine(measures)];
}

const biasLine = ({ language_bias }: Record<string, number>) =>
  `language bias (mean rank distance) ${language_bias?.toFixed(1) ?? '-'}`;

const mostCells = 40;

/** One line a cell, and the mean. */
function cellLines({ grid }: EvaluationResult, names: readonly string[]): string[] {
  const line = (label: string, measures: Record<string, number>) =>
    `${label.padEnd(24)}${names.map((name) => cell(measures[name], name.length)).join('')}`;
  const label = ({ queryLanguage, passageLanguage }: EvaluationResult['grid'][number]) =>
    queryLanguage === passageLanguage ? queryLanguage : `${queryLanguage}-${passageLanguage}`;
  const mean = (name: string) =>
    grid.reduce((sum, { measures }) => sum + (measures[name] ?? Number.NaN), 0) / grid.length;
  const left = grid.length > mostCells ? [`... ${grid.length - mostCells} more`] : [];
  return [
    `${''.padEnd(24)}${names.map((name) => name.padStart(Math.max(10, name.length + 2))).join('')}`,
    ...grid.slice(0, mostCells).map((one) => line(label(one), one.measures)),
    ...left,
    line('mean', Object.fromEntries(names.map((name) => [name, mean(name)]))),
  ];
}

function cell(value: number | undefined, width = 8): string {
  const text = value === undefined || Number.isNaN(value) ? '-' : value.toFixed(4);
  return text.padStart(Math.max(10, width + 2));
}
