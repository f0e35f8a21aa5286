import { anyOptions, checkOptions, requirePath } from '../checked_options.js';
import { invalidArgument, XlembedError } from '../errors.js';
import { codedNativeError, loadNative, type NativeFaissIndex, nativeCall } from '../native.js';
import { findFaissFile, readLabelLines, writeFaissFolder } from './faiss_folder.js';
import type { Hit } from './flat_index.js';
import { LabelTable } from './label_table.js';
import { checkedDimensions, checkedVectors, requireK, requireOneOf, type Vectors } from './vectors.js';

export interface FaissIndexOptions {
  /** D, the length of every vector. */
  dimensions: number;
  /** A FAISS factory string: 'IVF1024,PQ48x8', 'HNSW32', 'OPQ16_64,IVF256,PQ16', 'Flat', .. */
  factory: string;
  /** Default 'inner_product'. */
  metric?: 'inner_product' | 'l2' | undefined;
}

const largestParameter = 2 ** 31 - 1;

/** Where there is not enough to learn from. */
export const LEARNS_LESS = 'take fewer clusters, or what learns nothing: Flat, HNSW32';
const REBUILD = 'the file is damaged or of another kind: bring it back, or build it anew (xlembed index)';

/**
 * Approximate search by the FAISS library (https://github.com/facebookresearch/faiss), whose index files open in
 * Python and back. Work runs off the event loop, in the order of the calls, on the threads that `setThreads` gives.
 * Everything throws FAISS_FAILED for what this kind of index cannot do.
 */
export class FaissIndex {
  #failure: XlembedError | undefined;

  private constructor(
    private readonly native: NativeFaissIndex,
    private readonly table: LabelTable,
    /** Mapped from its file. */
    readonly readOnly: boolean,
    readonly dimensions: number,
    readonly metric: 'inner_product' | 'l2',
  ) {}

  /** An empty index. Throws INVALID_ARGUMENT, and FAISS_UNAVAILABLE in a build without FAISS. */
  static async create(options: FaissIndexOptions): Promise<FaissIndex> {
    checkOptions(anyOptions, options);
    const { factory, metric = 'inner_product' } = options;
    const dimensions = checkedDimensions(options.dimensions);
    requireFactory(factory);
    requireOneOf('metric', metric, ['inner_product', 'l2']);
    const native = await nativeCall(() => loadNative().createFaissIndex(dimensions, factory, metric));
    return new FaissIndex(native, new LabelTable(), false, dimensions, metric);
  }

  /**
   * The index of a folder that `save` wrote, or a file that FAISS wrote anywhere, whose labels then are the ids. With
   * `memoryMap` the inverted lists of an IVF index stay in the file, from where a search brings them page by page, and
   * the index is read-only; the file must not be cut short meanwhile (replace it by renaming). Throws FILE_NOT_FOUND,
   * MALFORMED_FILE, MALFORMED_LINE, and FAISS_UNAVAILABLE in a build without FAISS.
   */
  static async load(path: string, options: { memoryMap?: boolean | undefined } = {}): Promise<FaissIndex> {
    requirePath('path', path);
    checkOptions(anyOptions, options);
    const { memoryMap = false } = options;
    const { file, ids } = await findFaissFile(path);
    const native = await nativeCall(() => loadNative().loadFaissIndex(file, memoryMap), REBUILD);
    try {
      const table = ids ? await namedTable(ids, native.size) : await unnamedTable(native, memoryMap);
      return new FaissIndex(native, table, memoryMap, native.dimensions, native.metric);
    } catch (cause) {
      native.dispose();
      throw cause;
    }
  }

  /** Vectors in the index. */
  get size(): number {
    this.#requireSound();
    return this.readOnly ? this.native.size : this.table.size;
  }

  /** Of the vectors in order of arrival; not of a mapped file without ids. */
  get ids(): string[] {
    return this.table.ids;
  }

  /** False for an index that must see example vectors before it takes any. */
  get trained(): boolean {
    this.#requireSound();
    return this.native.trained;
  }

  /**
   * Shows example vectors (rows, D) to an index that learns from them, once, before `add`. An IVF index wants 39 to 256
   * vectors for each of its lists; FAISS warns on stderr below and takes a sample above. Throws INVALID_ARGUMENT for an
   * index that holds vectors: their codes would be read by what it learns now.
   */
  async train(vectors: Vectors): Promise<void> {
    this.#requireWritable();
    if (this.size > 0) {
      throw invalidArgument(
        'the index',
        'none with vectors',
        this.size,
        'train a new one, then add the vectors to it',
      );
    }
    const data = checkedVectors('vectors', vectors, this.dimensions);
    if (data.length === 0) throw invalidArgument('vectors', 'at least one vector', 0);
    await nativeCall(() => this.native.train(data), LEARNS_LESS);
  }

  /**
   * Adds vectors (rows, D), all or none; `ids` are by default the numbers of the vectors in order of arrival. Throws
   * INDEX_NOT_TRAINED, DIMENSION_MISMATCH and INVALID_ARGUMENT (an id that is taken, a row with NaN or infinity).
   */
  async add(vectors: Vectors, ids?: readonly string[]): Promise<void> {
    this.#requireWritable();
    const data = checkedVectors('vectors', vectors, this.dimensions);
    if (!this.native.trained) {
      throw new XlembedError(
        'INDEX_NOT_TRAINED',
        'this index must be trained first',
        'await index.train(vectors)',
      );
    }
    const labels = this.table.add(data.length / this.dimensions, ids);
    if (labels.length === 0) return;
    try {
      await nativeCall(() => this.native.add(data, labels));
    } catch (cause) {
      // How much of it FAISS took is not known: ids and vectors lie apart from here on.
      this.#failure ??= codedNativeError(cause);
      throw cause;
    }
  }

  /**
   * Takes vectors out. Throws INVALID_ARGUMENT for an id that is not in the index, and FAISS_FAILED for an index that
   * cannot forget (HNSW, IVF with fast-scan codes); nothing is removed then, and an index to which one of the ids was
   * added again meanwhile fails from then on.
   */
  async remove(ids: Iterable<string>): Promise<void> {
    this.#requireWritable();
    const labels = this.table.labelsOf(ids);
    if (labels.length === 0) return;
    this.table.remove(labels);
    try {
      await nativeCall(() => this.native.remove(labels));
    } catch (cause) {
      // An id that was added again meanwhile has two vectors from here on.
      if (!this.table.restore(labels)) this.#failure ??= codedNativeError(cause);
      throw cause;
    }
    this.table.forget(labels);
  }

  /**
   * Sets what trades time for recall, by FAISS's names, for all searches from here on: `nprobe` (IVF: lists looked
   * into), `efSearch` (HNSW: candidates held), `quantizer_efSearch`, `k_factor`, .. Throws INVALID_ARGUMENT.
   */
  async setParameters(parameters: Record<string, number>): Promise<void> {
    this.#requireSound();
    for (const [name, value] of Object.entries(parameters)) requireParameter(name, value);
    for (const [name, value] of Object.entries(parameters)) {
      await nativeCall(() => this.native.setParameter(name, value));
    }
  }

  /**
   * For each of the queries (Q, D) the nearest that the index finds, nearest first, at most k. The score is the inner
   * product, or minus the squared distance for metric 'l2': in both the larger is nearer. Throws DIMENSION_MISMATCH
   * and INVALID_ARGUMENT.
   */
  async search(queries: Vectors, k: number): Promise<Hit[][]> {
    this.#requireSound();
    requireK(k);
    const data = checkedVectors('queries', queries, this.dimensions);
    const count = data.length / this.dimensions;
    const kept = Math.min(k, this.size);
    if (count === 0 || kept === 0) return Array.from({ length: count }, () => []);
    const { scores, labels } = await nativeCall(() => this.native.search(data, kept));
    const sign = this.metric === 'l2' ? -1 : 1;
    return Array.from({ length: count }, (_, q) => {
      const hits: Hit[] = [];
      for (let i = q * kept; i < (q + 1) * kept; i++) {
        if (labels[i]! >= 0) hits.push({ id: this.table.idOf(labels[i]!), score: sign * scores[i]! });
      }
      return hits;
    });
  }

  /**
   * Writes a folder with `index.faiss`, which faiss.read_index opens, and `ids.jsonl`, complete or not at all; `texts`,
   * by id, go beside the ids. Nothing may be added or removed meanwhile. Throws FILE_EXISTS unless `overwrite`, and
   * FILE_WRITE_FAILED.
   */
  async save(
    folder: string,
    options: { overwrite?: boolean | undefined; texts?: ReadonlyMap<string, string> | undefined } = {},
  ): Promise<void> {
    this.#requireWritable();
    const { overwrite = false, texts } = options;
    const lines = Array.from(this.table.entries(), ([label, id]) => ({ label, id, text: texts?.get(id) }));
    await writeFaissFolder(folder, overwrite, lines, (path) => nativeCall(() => this.native.write(path)));
  }

  /** Frees the vectors once running work has ended; further calls fail with DISPOSED. */
  dispose(): void {
    this.#failure ??= new XlembedError('DISPOSED', 'this index was disposed', 'create a new one');
    this.native.dispose();
  }

  #requireWritable(): void {
    this.#requireSound();
    if (!this.readOnly) return;
    throw new XlembedError(
      'INDEX_READ_ONLY',
      'this index is mapped from its file',
      'load it without memoryMap',
    );
  }

  #requireSound(): void {
    if (this.#failure) throw this.#failure;
  }
}

/**
 * FAISS divides by some of these numbers, and allocates by others, without looking: a 0 would end the process. HNSW with
 * one neighbour never ends; NSG over few vectors, as those of an IVF's lists, ends the process.
 */
export function requireFactory(factory: string): void {
  if (
    typeof factory !== 'string' ||
    factory === '' ||
    factory.length > 200 ||
    /(^|\D)0+(?!\d)|\d{9}|HNSW0*1(?!\d)/.test(factory)
  ) {
    throw invalidArgument('factory', 'a FAISS factory string such as "IVF1024,PQ48x8"', factory);
  }
  if (factory.includes('NSG'))
    throw invalidArgument('factory', 'none with NSG', factory, 'HNSW does its work: HNSW32');
}

/** FAISS makes an int of it without looking; searches by none of anything find little, or end the process. */
function requireParameter(name: string, value: number): void {
  const least = /(nprobe|efSearch)$/.test(name) ? 1 : 0;
  if (value >= least && value <= largestParameter) return;
  throw invalidArgument(name, `a number from ${least} to ${largestParameter}`, value);
}

async function namedTable(path: string, size: number): Promise<LabelTable> {
  const lines = await readLabelLines(path);
  if (lines.length !== size) {
    throw new XlembedError(
      'MALFORMED_FILE',
      `expected ${size} ids in ${path}, received ${lines.length}`,
      'index and ids do not belong together',
    );
  }
  return LabelTable.of(lines.map(({ label, id }) => [label, id] as const));
}

/** Every label names itself. Those of a mapped index are left unread: nothing can be added or removed. */
async function unnamedTable(native: NativeFaissIndex, memoryMap: boolean): Promise<LabelTable> {
  if (memoryMap) return new LabelTable();
  const labels = await nativeCall(() => native.labels());
  return LabelTable.of(Array.from(labels, (label) => [label, String(label)] as const));
}
