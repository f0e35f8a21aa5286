import { invalidArgument } from '../errors.js';
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

/** Correlation of the texts' similarities with people's grades, set by set. Embeddings carry no prompt. */
export async function evaluateSimilarity(
  task: SimilarityTask,
  embed: Embed,
  options: PartOptions = {},
): Promise<EvaluationResult> {
  const {
    languages,
    similarity = 'cosine',
    parts = new FinishedParts(undefined, undefined),
    onProgress,
  } = options;
  const sets = chosenParts(task.sets, ({ source, target }) => [source, target], languages);
  if (sets.length === 0) {
    throw invalidArgument('languages', `languages of ${task.name}: ${task.languages.join(', ')}`, languages);
  }
  const cells: GridCell[] = [];
  let dimensions = 0;
  for (const [number, { source, target, read }] of sets.entries()) {
    const pairs = await read();
    const name = `${source}-${target}`;
    const measured = await parts.get(`${task.name}-${name}`, [hashOf(pairs), similarity], async () => {
      const first = await embedRows(pairs.first, undefined, embed, similarity);
      const second = await embedRows(pairs.second, undefined, embed, similarity);
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
  const counts = Object.fromEntries(cells.map(({ queryLanguage, queries }) => [queryLanguage, queries]));
  return {
    kind: 'similarity',
    task: task.name,
    languages: [...new Set(cells.flatMap((cell) => [cell.queryLanguage, cell.passageLanguage]))].sort(),
    dimensions,
    similarity,
    counts: { queries: counts, candidates: counts },
    measures: summarize(cells, [], similarityMeasures),
    groups: {},
    grid: cells,
    pool: [],
  };
}

function correlations(
  { grades }: GradedPairs,
  first: Float32Array,
  second: Float32Array,
): GridCell['measures'] {
  const dimensions = first.length / grades.length;
  const similarities = grades.map((_, pair) => {
    let sum = 0;
    for (let d = pair * dimensions; d < (pair + 1) * dimensions; d++) sum += first[d]! * second[d]!;
    return sum;
  });
  return { Spearman: spearman(similarities, grades), Pearson: pearson(similarities, grades) };
}
