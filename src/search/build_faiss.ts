import { z } from 'zod';
import { checkOptions, functionSchema, requirePath, signalSchema } from '../checked_options.js';
import { describeEmbeddings, readEmbeddings } from '../encoding/embeddings_folder.js';
import { invalidArgument } from '../errors.js';
import { loadNative, type NativeFaissIndex, nativeCall } from '../native.js';
import { FaissBuildFolder, type FaissJob } from './faiss_build_folder.js';
import { LEARNS_LESS, requireFactory } from './faiss_index.js';
import { requireDistinctIds } from './id_table.js';
import { checkedVectors, requireOneOf } from './vectors.js';

export interface FaissBuildOptions {
  /** A FAISS factory string: 'IVF4096,PQ32', 'HNSW32', .. */
  factory: string;
  /** Default 'inner_product'. */
  metric?: 'inner_product' | 'l2' | undefined;
  /** Rows that the index learns from, at even distances, at most; default 262,144. */
  trainingRows?: number | undefined;
  /** Replace the index in the output folder. Default false. */
  overwrite?: boolean | undefined;
  /** Go on with a build that was interrupted, and leave one that has ended as it is. Default false. */
  resume?: boolean | undefined;
  /** Between two copies of the index on disk, from where a build resumes; default a minute. */
  checkpointEvery_ms?: number | undefined;
  /** Ends the build with the piece under way. */
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: FaissBuildProgress) => void) | undefined;
}

/** The other fields have checks of their own. */
const schema = z.looseObject({
  overwrite: z.boolean().optional(),
  resume: z.boolean().optional(),
  checkpointEvery_ms: z.number().min(0).optional(),
  signal: signalSchema.optional(),
  onProgress: functionSchema.optional(),
});

export interface FaissBuildProgress {
  stage: 'training' | 'adding';
  /** Rows read so far in this stage, of `total`. */
  rows: number;
  total: number;
}

export interface BuiltFaissIndex {
  /** False when the signal has ended the build: it goes on with `resume`. */
  complete: boolean;
  /** In the index. */
  rows: number;
  dimensions: number;
}

export const TRAINING_ROWS = 2 ** 18;

/**
 * Builds a FAISS index of a complete embeddings folder, whose labels are the rows: trained on a sample, then filled
 * piece by piece, so that memory holds the index, the sample and a piece, whatever the corpus. `output` gets
 * `index.faiss` and `ids.jsonl` (faiss_folder.ts) when both are whole. Throws FILE_EXISTS, FILE_WRITE_FAILED,
 * INVALID_ARGUMENT, DUPLICATE_ID, FAISS_UNAVAILABLE, FAISS_FAILED, and what reading the embeddings throws.
 */
export async function buildFaissIndex(
  embeddings: string,
  output: string,
  options: FaissBuildOptions,
): Promise<BuiltFaissIndex> {
  requirePath('embeddings', embeddings);
  requirePath('output', output);
  checkOptions(schema, options);
  const { factory, metric = 'inner_product', trainingRows = TRAINING_ROWS } = options;
  requireFactory(factory);
  requireOneOf('metric', metric, ['inner_product', 'l2']);
  if (!(trainingRows >= 1)) throw invalidArgument('trainingRows', 'a number of 1 or more', trainingRows);
  const source = await describeEmbeddings(embeddings);
  requireDistinctIds(embeddings, source.duplicateIds);
  const { rows, dimensions, fingerprint, origin } = source;
  const job: FaissJob = { factory, metric, trainingRows, rows, dimensions, source: fingerprint, origin };
  const folder = new FaissBuildFolder(output, job);
  await folder.requireApart(embeddings);
  try {
    if (!(await folder.prepare(options))) return { complete: true, rows, dimensions };
    return await new FaissBuild(embeddings, job, folder, options).run();
  } finally {
    await folder.leave();
  }
}

const CHECKPOINT_EVERY_MS = 60_000;

class FaissBuild {
  #written_ms = performance.now();

  constructor(
    private readonly embeddings: string,
    private readonly job: FaissJob,
    private readonly folder: FaissBuildFolder,
    private readonly options: FaissBuildOptions,
  ) {}

  async run(): Promise<BuiltFaissIndex> {
    const index = (await this.#resumed()) ?? (await this.#trained());
    if (!index) return this.#result(0, false);
    try {
      const rows = await this.#fill(index);
      if (rows < this.job.rows) return this.#result(rows, false);
      await this.folder.complete((path) => nativeCall(() => index.write(path)));
      return this.#result(rows, true);
    } finally {
      index.dispose();
    }
  }

  #result(rows: number, complete: boolean): BuiltFaissIndex {
    return { complete, rows, dimensions: this.job.dimensions };
  }

  get #stopped(): boolean {
    return this.options.signal?.aborted ?? false;
  }

  async #resumed(): Promise<NativeFaissIndex | undefined> {
    const path = this.folder.checkpoint;
    return path === undefined
      ? undefined
      : nativeCall(() => loadNative().loadFaissIndex(path, false), 'begin anew, without resume');
  }

  /** An empty index that has learnt what it must; undefined when it was stopped meanwhile. */
  async #trained(): Promise<NativeFaissIndex | undefined> {
    const { dimensions, factory, metric } = this.job;
    const index = await nativeCall(() => loadNative().createFaissIndex(dimensions, factory, metric));
    try {
      if (!index.trained) {
        const sample = await this.#sample();
        if (!sample) return undefined;
        await nativeCall(() => index.train(sample), LEARNS_LESS);
        await this.#save(index);
      }
      return index;
    } catch (cause) {
      index.dispose();
      throw cause;
    }
  }

  /** Rows at even distances: (n, D). */
  async #sample(): Promise<Float32Array | undefined> {
    const { rows, dimensions, trainingRows } = this.job;
    const step = Math.max(1, Math.ceil(rows / trainingRows));
    const sample = new Float32Array(Math.ceil(rows / step) * dimensions);
    let row = 0;
    for await (const { vectors } of readEmbeddings(this.embeddings)) {
      for (let at = 0; at < vectors.length; at += dimensions, ++row) {
        if (row % step !== 0) continue;
        sample.set(vectors.subarray(at, at + dimensions), (row / step) * dimensions);
      }
      this.options.onProgress?.({ stage: 'training', rows: row, total: rows });
      if (this.#stopped) return undefined;
    }
    return checkedVectors('embeddings', sample, dimensions);
  }

  /** Returns how many rows are in. */
  async #fill(index: NativeFaissIndex): Promise<number> {
    const { rows: total, dimensions } = this.job;
    let rows = this.folder.rows;
    for await (const { vectors, ids, texts } of readEmbeddings(this.embeddings, rows)) {
      checkedVectors('embeddings', vectors, dimensions);
      const labels = Float64Array.from(ids, (_, n) => rows + n);
      await nativeCall(() => index.add(vectors, labels));
      await this.folder.appendIds(ids, texts);
      rows += ids.length;
      this.options.onProgress?.({ stage: 'adding', rows, total });
      if (rows === total) break;
      const { checkpointEvery_ms = CHECKPOINT_EVERY_MS } = this.options;
      if (this.#stopped || performance.now() - this.#written_ms >= checkpointEvery_ms)
        await this.#save(index);
      if (this.#stopped) break;
    }
    return rows;
  }

  async #save(index: NativeFaissIndex): Promise<void> {
    await this.folder.saveCheckpoint((path) => nativeCall(() => index.write(path)));
    this.#written_ms = performance.now();
  }
}
