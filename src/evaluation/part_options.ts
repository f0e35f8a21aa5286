import { invalidArgument, XlembedError } from '../errors.js';
import { FlatIndex } from '../search/flat_index.js';
import { copyRow, requireFinite } from './embedded_texts.js';
import type { Embed, EvaluationProgress, Role } from './evaluate.js';
import type { FinishedParts } from './finished_parts.js';
import type { RankingIndexFactory, Similarity } from './ranking_index.js';
import type { Task } from './tasks/task.js';

/** How a task is measured part by part. */
export interface PartOptions {
  /** Only parts whose languages are all among these. Default: all. */
  languages?: readonly string[] | undefined;
  createIndex?: RankingIndexFactory | undefined;
  /** Default 'cosine'. */
  similarity?: Similarity | undefined;
  keepQueryScores?: boolean | undefined;
  parts?: FinishedParts | undefined;
  onProgress?: ((progress: EvaluationProgress) => void) | undefined;
}

export const createFlatIndex: RankingIndexFactory = (dimensions) => FlatIndex.create({ dimensions });

/** (N, D) embeddings at unit length for the cosine, as they are for the inner product. */
export async function embedRows(
  texts: readonly string[],
  role: Role | undefined,
  embed: Embed,
  similarity: Similarity,
): Promise<{ vectors: Float32Array; dimensions: number }> {
  const { data, rows, dimensions } = await embed([...texts], role);
  if (rows !== texts.length || data.length !== rows * dimensions) {
    throw new XlembedError(
      'DIMENSION_MISMATCH',
      `expected ${texts.length} embeddings, received ${rows} x ${dimensions} in ${data.length} values`,
    );
  }
  requireFinite(
    data,
    (bad) => `the text ${JSON.stringify(texts[Math.floor(bad / dimensions)]!.slice(0, 80))}`,
  );
  const vectors = new Float32Array(data.length);
  for (let row = 0; row < rows; row++) copyRow(data, row, vectors, row, dimensions, similarity);
  return { vectors, dimensions };
}

/** Throws INVALID_ARGUMENT for a chosen language that the task lacks. */
export function requireLanguages({ name, languages }: Task, chosen: readonly string[] | undefined): void {
  const unknown = chosen?.find((language) => !languages.includes(language));
  if (unknown === undefined) return;
  throw invalidArgument('languages', `languages of ${name}: ${languages.join(', ')}`, unknown);
}

/** Those of `items` whose languages are all among the chosen ones. Throws as requireLanguages. */
export function chosenParts<T>(
  task: Task,
  items: readonly T[],
  languagesOf: (item: T) => readonly string[],
  chosen: readonly string[] | undefined,
): readonly T[] {
  requireLanguages(task, chosen);
  if (!chosen) return items;
  return items.filter((item) => languagesOf(item).every((language) => chosen.includes(language)));
}
