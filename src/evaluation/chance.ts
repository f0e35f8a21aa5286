import { z } from 'zod';
import { checkOptions } from '../checked_options.js';
import { retrievalTaskSchema } from './evaluate.js';
import type { RetrievalTask } from './tasks/task.js';

const schema = z.object({ task: retrievalTaskSchema });

/**
 * What a random ranking scores on a task in expectation, under the names of EvaluationResult.measures: with R relevant
 * among M candidates
 *
 *     E[AP] = (H_M + (M - H_M) (R - 1) / (M - 1)) / M,  H_M = 1 + 1/2 + ... + 1/M
 *     E[Recall@k] = k / M
 *     E[rank distance] = (M + 1) (R - 1) / (R + 1)
 *
 * macro-averaged over settings as the measures are. Throws INVALID_ARGUMENT for another kind of task.
 */
export function chanceLevels(task: RetrievalTask): Record<string, number> {
  checkOptions(schema, { task });
  const relevant = relevantByLanguage(task);
  const settings: Record<'monolingual' | 'cross_lingual' | 'multilingual', Level[]> = {
    monolingual: [],
    cross_lingual: [],
    multilingual: [],
  };
  const sizes = new Map(task.languages.map((language) => [language, task.candidates(language).length]));
  const poolSize = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  for (const queryLanguage of task.languages) {
    const queries = task
      .queries(queryLanguage)
      .map(({ id }) => relevant.get(id) ?? new Map<string, number>());
    for (const passageLanguage of task.languages) {
      const counts = queries.flatMap((byLanguage) => byLanguage.get(passageLanguage) ?? []);
      const kind = queryLanguage === passageLanguage ? 'monolingual' : 'cross_lingual';
      settings[kind].push(levelOf(counts, sizes.get(passageLanguage)!, 1));
    }
    const pooled = queries.map((byLanguage) =>
      [...byLanguage.values()].reduce((sum, count) => sum + count, 0),
    );
    settings.multilingual.push(
      levelOf(
        pooled.filter((count) => count > 0),
        poolSize,
        10,
      ),
    );
  }
  return {
    monolingual_map: macroMean(settings.monolingual, 'averagePrecision'),
    cross_lingual_map: macroMean(settings.cross_lingual, 'averagePrecision'),
    multilingual_map: macroMean(settings.multilingual, 'averagePrecision'),
    monolingual_recall_at_1: macroMean(settings.monolingual, 'recall'),
    cross_lingual_recall_at_1: macroMean(settings.cross_lingual, 'recall'),
    multilingual_recall_at_10: macroMean(settings.multilingual, 'recall'),
    language_bias: macroMean(settings.multilingual, 'rankDistance'),
  };
}

interface Level {
  averagePrecision: number;
  recall: number;
  rankDistance: number;
}

/** Means over queries with `counts[q]` relevant among `candidates`. */
function levelOf(counts: readonly number[], candidates: number, k: number): Level {
  const harmonic = harmonicNumber(candidates);
  const rest = candidates > 1 ? (candidates - harmonic) / (candidates - 1) : 0;
  const several = counts.filter((count) => count > 1);
  return {
    averagePrecision: mean(counts.map((count) => (harmonic + rest * (count - 1)) / candidates)),
    recall: counts.length > 0 ? Math.min(1, k / candidates) : Number.NaN,
    rankDistance: mean(several.map((count) => ((candidates + 1) * (count - 1)) / (count + 1))),
  };
}

/** Query id -> language of the passage -> relevant candidates. */
function relevantByLanguage(task: RetrievalTask): Map<string, Map<string, number>> {
  const languageOf = new Map<string, string>();
  for (const language of task.languages) {
    for (const { id } of task.candidates(language)) languageOf.set(id, language);
  }
  const counts = new Map<string, Map<string, number>>();
  for (const [query, grades] of task.qrels) {
    const byLanguage = new Map<string, number>();
    for (const [candidate, grade] of grades) {
      const language = languageOf.get(candidate);
      if (grade > 0 && language) byLanguage.set(language, (byLanguage.get(language) ?? 0) + 1);
    }
    counts.set(query, byLanguage);
  }
  return counts;
}

function harmonicNumber(n: number): number {
  let sum = 0;
  for (let i = n; i >= 1; --i) sum += 1 / i;
  return sum;
}

function mean(values: readonly number[]): number {
  return values.length === 0 ? Number.NaN : values.reduce((sum, value) => sum + value, 0) / values.length;
}

function macroMean(levels: readonly Level[], key: keyof Level): number {
  return mean(levels.map((level) => level[key]).filter((value) => !Number.isNaN(value)));
}
