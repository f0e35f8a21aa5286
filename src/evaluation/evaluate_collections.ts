import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { XlembedError } from '../errors.js';
import { fileError } from '../files/file_error.js';
import { hashOf } from './embedding_cache.js';
import type { Embed } from './evaluate.js';
import { FinishedParts } from './finished_parts.js';
import { defaultMeasures, settingScores } from './grid.js';
import { judgeRun } from './judgements.js';
import type { Measure } from './measures/measure.js';
import { createFlatIndex, embedRows, type PartOptions, requireLanguages } from './part_options.js';
import type { EvaluationResult, GridCell } from './results.js';
import { type Found, streamedSearch } from './streamed_search.js';
import { summarize } from './summary.js';
import type { Collection, CollectionTask } from './tasks/task.js';

export interface CollectionOptions extends PartOptions {
  /** Default AP, RR, R@1, R@10, R@100, nDCG@10. */
  measures?: readonly Measure[] | undefined;
  /** Passages kept of each query; measures see no further. Default 1,000, trec_eval's. */
  depth?: number | undefined;
  /** Passages in memory at once. Default 32,768. */
  blockRows?: number | undefined;
}

/**
 * Retrieval in one collection for each language: passages are read, embedded and searched block by block. Throws
 * INVALID_ARGUMENT for languages that the task lacks, TASK_DATA_INVALID for a passage that is found twice.
 */
export async function evaluateCollections(
  task: CollectionTask,
  embed: Embed,
  options: CollectionOptions = {},
): Promise<EvaluationResult> {
  const {
    measures = defaultMeasures(),
    parts = new FinishedParts(undefined, undefined),
    similarity = 'cosine',
  } = options;
  const languages = chooseLanguages(task, options.languages);
  const cells: GridCell[] = [];
  const counts: EvaluationResult['counts'] = { queries: {}, candidates: {} };
  let dimensions = 0;
  for (const [number, language] of languages.entries()) {
    const collection = await task.open(language);
    const judgements = [...collection.qrels].map(([id, grades]) => [id, ...grades]);
    const inputs = {
      texts: hashOf([collection.queries, judgements]),
      files: await stampsOf(collection.files),
      measures: measures.map(({ name }) => name),
      depth: options.depth,
      keepQueryScores: options.keepQueryScores,
      similarity,
    };
    const part = await parts.get(`${task.name}-${language}`, inputs, () =>
      measureCollection(language, collection, embed, { ...options, measures, similarity }),
    );
    cells.push(part.cell);
    dimensions = part.dimensions;
    counts.queries[language] = collection.queries.length;
    counts.candidates[language] = part.passages;
    options.onProgress?.({
      stage: 'part',
      part: language,
      partsDone: number + 1,
      partsTotal: languages.length,
    });
  }
  return {
    kind: 'collection',
    task: task.name,
    languages: [...languages],
    dimensions,
    similarity,
    counts,
    measures: summarize(cells, [], measures),
    groups: {},
    grid: cells,
    pool: [],
  };
}

interface MeasuredCollection {
  cell: GridCell;
  dimensions: number;
  passages: number;
}

async function measureCollection(
  language: string,
  { queries, qrels, passages, published, ignoreOwnId }: Collection,
  embed: Embed,
  options: CollectionOptions & { measures: readonly Measure[]; similarity: 'cosine' | 'dot' },
): Promise<MeasuredCollection> {
  const { depth = 1000, blockRows = 32_768, similarity, onProgress, createIndex = createFlatIndex } = options;
  const texts = queries.map(({ text }) => text);
  const { vectors, dimensions } = await embedRows(texts, 'query', embed, similarity);
  let count = 0;
  const found = await streamedSearch(vectors, passages(), {
    createIndex,
    dimensions,
    depth: depth + (ignoreOwnId ? 1 : 0),
    blockRows,
    embed: async (block) => (await embedRows(block, 'passage', embed, similarity)).vectors,
    onBlock: (textsDone) => {
      count = textsDone;
      onProgress?.({
        stage: 'embed',
        language,
        role: 'passage',
        textsDone,
        textsTotal: published ?? textsDone,
      });
    },
  });
  const keep = (id: string) => (hit: Found) => !(ignoreOwnId && hit.id === id);
  const run = new Map(
    queries.map(({ id }, query) => [
      id,
      scoresById(found[query]!.filter(keep(id)).slice(0, depth), language),
    ]),
  );
  const asked = new Map(queries.map(({ id }) => [id, qrels.get(id)!]));
  const scores = settingScores(judgeRun(run, asked).rankings, options.measures, options.keepQueryScores);
  return {
    cell: { queryLanguage: language, passageLanguage: language, ...scores },
    dimensions,
    passages: count,
  };
}

/** Throws TASK_DATA_INVALID where a passage comes again: whose score should count? */
function scoresById(hits: readonly Found[], language: string): Map<string, number> {
  const scores = new Map<string, number>();
  for (const { id, score } of hits) {
    if (scores.has(id)) {
      throw new XlembedError(
        'TASK_DATA_INVALID',
        `expected every passage of ${language} once, received ${id} again`,
        'give each passage an id of its own, and judge them by it',
      );
    }
    scores.set(id, score);
  }
  return scores;
}

/** What changes when a file does; reading gigabytes for a checksum would take longer than what it saves. */
async function stampsOf(files: readonly string[]): Promise<unknown[]> {
  return Promise.all(
    files.map(async (path) => {
      const { size, mtimeMs } = await stat(path).catch((cause) => {
        throw fileError(path, cause);
      });
      return [basename(path), size, mtimeMs];
    }),
  );
}

function chooseLanguages(task: CollectionTask, chosen: readonly string[] | undefined): readonly string[] {
  requireLanguages(task, chosen);
  return task.languages.filter((language) => !chosen || chosen.includes(language));
}
