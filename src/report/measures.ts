import { amount, score } from './format.js';
import type { RegimeResult } from './results.js';

/** How a measure is shown, and which direction is better. */
export interface MeasureColumn {
  key: string;
  label: string;
  /** null: unknown to the report, so no value is marked as best. */
  better: 'higher' | 'lower' | null;
  format: (value: number) => string;
}

const column = (key: string, label: string): MeasureColumn => ({
  key,
  label,
  better: 'higher',
  format: score,
});

/** The measures of arXiv 2408.10536, in its order. */
const KNOWN: readonly MeasureColumn[] = [
  column('monolingual_map', 'Monolingual mAP'),
  column('cross_lingual_map', 'Cross-lingual mAP'),
  column('multilingual_map', 'Multilingual mAP'),
  column('monolingual_recall_at_1', 'Monolingual Recall@1'),
  column('cross_lingual_recall_at_1', 'Cross-lingual Recall@1'),
  column('multilingual_recall_at_10', 'Multilingual Recall@10'),
  { key: 'language_bias', label: 'Language bias (ranks)', better: 'lower', format: amount },
];

export const LANGUAGE_BIAS = 'language_bias';

/** Kinds of text that any regime was measured on, in order of first appearance. */
export function kindsOf(regimes: readonly RegimeResult[]): string[] {
  return [...new Set(regimes.flatMap((regime) => Object.keys(regime.evaluations)))];
}

/** Undefined where the regime was not measured so, or where the value is no number. */
export function valueIn(regime: RegimeResult, kind: string, key: string): number | undefined {
  const value = regime.evaluations[kind]?.measures[key];
  return value !== undefined && Number.isFinite(value) ? value : undefined;
}

/** The known measures that some regime has, then those that only the results know. */
export function columnsOf(regimes: readonly RegimeResult[], kind: string): MeasureColumn[] {
  const keys = new Set(regimes.flatMap((regime) => Object.keys(regime.evaluations[kind]?.measures ?? {})));
  const known = KNOWN.filter(({ key }) => keys.delete(key));
  return [...known, ...[...keys].map((key) => ({ ...column(key, key), better: null }))];
}

/** The best value of a column, or undefined where nothing can be compared. */
export function bestOf(regimes: readonly RegimeResult[], kind: string, { key, better }: MeasureColumn) {
  const values = regimes.flatMap((regime) => valueIn(regime, kind, key) ?? []);
  if (better === null || values.length < 2) return undefined;
  return better === 'higher' ? Math.max(...values) : Math.min(...values);
}
