import { invalidArgument, XlembedError } from '../errors.js';
import { pearson, spearman } from './correlation.js';
import { hashOf } from './embedding_cache.js';
import type { Embed } from './evaluate.js';
import { FinishedParts } from './finished_parts.js';
import type { MeasureNames } from './measures/measure.js';
import { chosenParts, embedRows, type PartOptions } from './part_options.js';
import type { EvaluationResult, GridCell } from './results.js';
import { summarize } from './summary.js';
import type { GradedPairs, SimilarityTask } from './tasks/task.js';

export const similarityMeasures: readonly MeasureNames[] = [
  { name: 'Spearman', key: 'cosine_spearman' },
  { name: 'Pearson', key: 'cosine_pearson' },
];

/**
 * Correlation of the texts' similarities with people's grades, set by set. Embeddings carry no prompt. Throws
 * INVALID_ARGUMENT for languages that the task lacks.
 */
export async function evaluateSimilarity(
  task: SimilarityTask,
  embed: Embed,
  options: PartOptions = {},
): Promise<EvaluationResult> {
  const { languages, parts = new FinishedParts(undefined, undefined), onProgress } = options;
  const sets = chosenParts(task, task.sets, ({ source, target }) => [source, target], languages);
  if (sets.length === 0) {
    throw invalidArgument('languages', `languages of ${task.name}: ${task.languages.join(', ')}`, languages);
  }
  const cells: GridCell[] = [];
  let dimensions = 0;
  for (const [number, { source, target, read }] of sets.entries()) {
    const pairs = await read();
    checkGrades(source, target, pairs);
    const name = `${source}-${target}`;
    const measured = await parts.get(`${task.name}-${name}`, [hashOf(pairs), 'cosine'], async () => {
      const first = await embedRows(pairs.first, undefined, embed, 'cosine');
      const second = await embedRows(pairs.second, undefined, embed, 'cosine');
      return { dimensions: first.dimensions, measures: correlations(pairs, first.vectors, second.vectors) };
    });
    dimensions = measured.dimensions;
    const { length } = pairs.grades;
    cells.push({
      queryLanguage: source,
      passageLanguage: target,
      queries: length,
      measures: measured.measures,
    });
    onProgress?.({ stage: 'part', part: name, partsDone: number + 1, partsTotal: sets.length });
  }
  return {
    kind: 'similarity',
    task: task.name,
    languages: [...new Set(cells.flatMap((cell) => [cell.queryLanguage, cell.passageLanguage]))].sort(),
    dimensions,
    similarity: 'cosine',
    counts: { queries: countTexts(cells, 'queryLanguage'), candidates: countTexts(cells, 'passageLanguage') },
    measures: summarize(cells, [], similarityMeasures),
    groups: {},
    grid: cells,
    pool: [],
  };
}

/** A language may be on this side of several sets. */
function countTexts(
  cells: readonly GridCell[],
  side: 'queryLanguage' | 'passageLanguage',
): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { [side]: language, queries } of cells) counts[language] = (counts[language] ?? 0) + queries;
  return counts;
}

/** Throws TASK_DATA_INVALID. */
function checkGrades(source: string, target: string, { first, second, grades }: GradedPairs): void {
  const wrong = grades.findIndex((grade) => !Number.isFinite(grade));
  if (wrong < 0 && first.length === grades.length && second.length === grades.length) return;
  const received =
    wrong < 0
      ? `${first.length} and ${second.length} texts with ${grades.length} grades`
      : `the grade ${grades[wrong]} for pair ${wrong}`;
  throw new XlembedError(
    'TASK_DATA_INVALID',
    `expected pairs of ${source}-${target} with a number each, received ${received}`,
    'leave out pairs that nobody has graded',
  );
}

/**
 * Without a correlation where similarities or grades are all equal. A cosine is 1 - |a - b|^2 / 2 of unit vectors:
 * exactly 1 for equal ones, so that equal texts tie, as in mteb.
 */
function correlations(
  { grades }: GradedPairs,
  first: Float32Array,
  second: Float32Array,
): GridCell['measures'] {
  const dimensions = first.length / grades.length;
  const similarities = grades.map((_, pair) => {
    let squares = 0;
    for (let d = pair * dimensions; d < (pair + 1) * dimensions; d++)
      squares += (first[d]! - second[d]!) ** 2;
    return 1 - squares / 2;
  });
  const measures = { Spearman: spearman(similarities, grades), Pearson: pearson(similarities, grades) };
  return Object.fromEntries(Object.entries(measures).filter(([, value]) => !Number.isNaN(value)));
}
