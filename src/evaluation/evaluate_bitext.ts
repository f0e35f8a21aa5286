import { invalidArgument, XlembedError } from '../errors.js';
import { type BitextScores, bitextScores, type Neighbours } from './bitext_scores.js';
import { hashOf } from './embedding_cache.js';
import type { Embed } from './evaluate.js';
import { FinishedParts } from './finished_parts.js';
import type { MeasureNames } from './measures/measure.js';
import { chosenParts, createFlatIndex, embedRows, type PartOptions } from './part_options.js';
import { mostLanguages, mostTexts, type Projection, ProjectionSample } from './projection.js';
import type { RankingIndex } from './ranking_index.js';
import type { EvaluationResult, GridCell } from './results.js';
import { summarize } from './summary.js';
import type { BitextPair, BitextTask, ParallelSentences } from './tasks/task.js';

/** What is measured in each direction of a pair. */
export const bitextMeasures: readonly MeasureNames[] = [
  { name: 'Accuracy', key: 'accuracy' },
  { name: 'MarginAccuracy', key: 'margin_accuracy' },
  { name: 'F1', key: 'f1' },
  { name: 'Precision', key: 'precision' },
  { name: 'Recall', key: 'recall' },
];

export interface BitextOptions extends PartOptions {
  /** All pairs of a task whose languages are all parallel, not only those with its pivot language. */
  allPairs?: boolean | undefined;
}

/** LASER's and the literature's. */
const neighbours = 4;

/**
 * Finds every sentence's translation among those of the other language, in both directions of every pair. A cell's
 * query language is the one searched from. Embeddings carry no prompt. Throws INVALID_ARGUMENT when no pair is chosen,
 * or a language that the task lacks, and TASK_DATA_INVALID for sides of unequal length.
 */
export async function evaluateBitext(
  task: BitextTask,
  embed: Embed,
  options: BitextOptions = {},
): Promise<EvaluationResult> {
  const pairs = choosePairs(task, options);
  const parts = options.parts ?? new FinishedParts(undefined, undefined);
  const run = new BitextRun(embed, options);
  const cells: GridCell[] = [];
  const sentences: Record<string, number> = {};
  for (const [number, pair] of pairs.entries()) {
    const texts = await pair.read();
    checkSentences(pair, texts);
    const name = `${task.name}-${pair.source}-${pair.target}`;
    const inputs = [hashOf(texts), neighbours, options.similarity, options.keepQueryScores];
    const measured = await parts.get(name, inputs, () => run.measure(pair, texts));
    cells.push(...measured.cells);
    run.dimensions = measured.dimensions;
    for (const language of [pair.source, pair.target]) sentences[language] = texts.ids.length;
    run.sample(pair, texts);
    options.onProgress?.({
      stage: 'part',
      part: `${pair.source}-${pair.target}`,
      partsDone: number + 1,
      partsTotal: pairs.length,
    });
  }
  return {
    kind: 'bitext',
    task: task.name,
    languages: Object.keys(sentences).sort(),
    dimensions: run.dimensions,
    similarity: options.similarity ?? 'cosine',
    counts: { queries: sentences, candidates: sentences },
    measures: summarize(cells, [], bitextMeasures),
    groups: {},
    grid: cells,
    pool: [],
    ...(await run.projection()),
  };
}

/** Throws TASK_DATA_INVALID. */
function checkSentences({ source, target }: BitextPair, texts: ParallelSentences): void {
  const counts = [texts.ids, texts.source, texts.target].map(({ length }) => length);
  if (counts[0]! > 0 && counts.every((count) => count === counts[0])) return;
  throw new XlembedError(
    'TASK_DATA_INVALID',
    `expected an id for each sentence of ${source} and its translation into ${target}, received ${counts[0]} ids, ${counts[1]} and ${counts[2]} sentences`,
    'give lists of one length, of one sentence or more',
  );
}

function choosePairs(task: BitextTask, { languages, allPairs }: BitextOptions): readonly BitextPair[] {
  const { pivot } = task;
  const wanted = chosenParts(task, task.pairs, ({ source, target }) => [source, target], languages);
  const hasPivot =
    pivot !== undefined && wanted.some(({ source, target }) => source === pivot || target === pivot);
  const pairs =
    allPairs || !hasPivot
      ? wanted
      : wanted.filter(({ source, target }) => source === pivot || target === pivot);
  if (pairs.length > 0) return pairs;
  throw invalidArgument(
    'languages',
    `two languages of ${task.name}: ${task.languages.join(', ')}`,
    languages,
  );
}

/** Measures pair after pair; the side that the next pair shares is not embedded again. */
class BitextRun {
  dimensions = 0;
  /** Language -> the texts of the projection. */
  readonly #sampled = new Map<string, { ids: string[]; texts: string[] }>();
  #sides = new Map<string, Float32Array>();

  constructor(
    readonly embed: Embed,
    readonly options: BitextOptions,
  ) {}

  async measure(
    pair: BitextPair,
    texts: ParallelSentences,
  ): Promise<{ cells: GridCell[]; dimensions: number }> {
    const sides = new Map<string, Float32Array>();
    const source = await this.#side(texts.source, sides);
    const target = await this.#side(texts.target, sides);
    this.#sides = sides;
    const forward = await this.#nearest(source, target);
    const backward = await this.#nearest(target, source);
    const cell = (from: string, to: string, scores: BitextScores) => this.#cell(from, to, texts.ids, scores);
    return {
      dimensions: this.dimensions,
      cells: [
        cell(pair.source, pair.target, bitextScores(forward, backward)),
        cell(pair.target, pair.source, bitextScores(backward, forward)),
      ],
    };
  }

  /** Notes what the projection will show of a pair, also of one that was measured before. */
  sample(pair: BitextPair, { ids, source, target }: ParallelSentences): void {
    const [first] = this.#sampled.values();
    const wanted = new Set(first?.ids ?? ids.slice(0, mostTexts));
    const rows = [...ids.keys()].filter((row) => wanted.has(ids[row]!));
    for (const [language, texts] of [
      [pair.source, source],
      [pair.target, target],
    ] as const) {
      if (this.#sampled.has(language) || this.#sampled.size >= mostLanguages) continue;
      this.#sampled.set(language, {
        ids: rows.map((row) => ids[row]!),
        texts: rows.map((row) => texts[row]!),
      });
    }
  }

  /** Embeds the few texts once more, so that it is the same however many pairs were measured before. */
  async projection(): Promise<{ projection?: Projection }> {
    const sample = new ProjectionSample(this.dimensions);
    for (const [language, { ids, texts }] of this.#sampled) {
      if (ids.length > 0) sample.add(language, ids, (await this.embed(texts, undefined)).data);
    }
    return sample.project();
  }

  async #side(texts: readonly string[], sides: Map<string, Float32Array>): Promise<Float32Array> {
    const key = hashOf(texts);
    const known = this.#sides.get(key);
    const { vectors, dimensions } = known
      ? { vectors: known, dimensions: this.dimensions }
      : await embedRows(texts, undefined, this.embed, this.options.similarity ?? 'cosine');
    this.dimensions = dimensions;
    sides.set(key, vectors);
    return vectors;
  }

  /** The nearest rows of `target` for each row of `source`: k lists, never the matrix. */
  async #nearest(source: Float32Array, target: Float32Array): Promise<Neighbours> {
    const index: RankingIndex = (this.options.createIndex ?? createFlatIndex)(this.dimensions);
    try {
      await index.add(target);
      const k = Math.min(neighbours, target.length / this.dimensions);
      const hits = (await index.search(source, k)).flat();
      return {
        k,
        rows: Int32Array.from(hits, ({ id }) => Number(id)),
        scores: Float32Array.from(hits, ({ score }) => score),
      };
    } finally {
      index.dispose();
    }
  }

  #cell(
    queryLanguage: string,
    passageLanguage: string,
    ids: readonly string[],
    scores: BitextScores,
  ): GridCell {
    const share = (correct: number[]) => correct.reduce((sum, one) => sum + one, 0) / correct.length;
    const measures = {
      Accuracy: share(scores.correct),
      MarginAccuracy: share(scores.correctByMargin),
      F1: scores.f1,
      Precision: scores.precision,
      Recall: scores.recall,
    };
    const kept = { Accuracy: scores.correct, MarginAccuracy: scores.correctByMargin };
    return {
      queryLanguage,
      passageLanguage,
      queries: ids.length,
      measures,
      ...(this.options.keepQueryScores ? { queryScores: { ids: [...ids], scores: kept } } : {}),
    };
  }
}
