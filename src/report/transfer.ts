import type { EvaluationSummary, RunFacts } from './results.js';

/** Mean mAP over the settings of a grid, by whether their languages were trained. */
export interface Transfer {
  label: string;
  settings: number;
  /** Undefined where the grid has no such setting. */
  map: number | undefined;
}

const GROUPS = [
  'Monolingual, trained',
  'Monolingual, zero-shot',
  'Cross-lingual, both trained',
  'Cross-lingual, zero-shot',
];

/** Cross-lingual settings count as zero-shot when either language was never trained. */
export function transferOf(evaluation: EvaluationSummary, languages: RunFacts['languages']): Transfer[] {
  const trained = new Set(languages.trained);
  const values: number[][] = GROUPS.map(() => []);
  for (const { queryLanguage, passageLanguage, measures } of evaluation.grid) {
    const seen = trained.has(queryLanguage) && trained.has(passageLanguage);
    const group = (queryLanguage === passageLanguage ? 0 : 2) + (seen ? 0 : 1);
    if (Number.isFinite(measures.map)) values[group]!.push(measures.map!);
  }
  return GROUPS.map((label, i) => ({ label, settings: values[i]!.length, map: mean(values[i]!) }));
}

function mean(values: readonly number[]): number | undefined {
  return values.length === 0 ? undefined : values.reduce((a, b) => a + b, 0) / values.length;
}
