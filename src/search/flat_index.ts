import { z } from 'zod';
import { checkOptions } from '../checked_options.js';
import {
  type EmbeddingsFolder,
  type EmbeddingsPiece,
  openEmbeddingsFolder,
  writeEmbeddingsFolder,
} from '../encoding/embeddings_folder.js';
import type { EmbeddingsOrigin } from '../encoding/embeddings_origin.js';
import { invalidArgument, XlembedError } from '../errors.js';
import { countRepeated } from '../large_map.js';
import {
  codedNativeError,
  type IndexStorage,
  loadNative,
  type NativeAddon,
  type NativeFlatIndex,
  nativeCall,
  nativeValue,
  type SearchScan,
} from '../native.js';
import { IdTable, requireDistinctIds } from './id_table.js';
import { checkedDimensions, checkedVectors, requireK, requireOneOf, type Vectors } from './vectors.js';

export interface FlatIndexOptions {
  /** D, the length of every vector. */
  dimensions: number;
  /** Default 'cpu'. */
  device?: string | undefined;
  /**
   * What a search reads first. The results are the same to the last bit: 'bfloat16' and 'int8' keep a narrow copy of
   * the vectors beside them (a half or a quarter more memory), which rules most of them out in less time. 'int8' gains
   * most with few queries; where vectors lie too close for it, it falls back to float32. Default 'float32'.
   */
  scan?: SearchScan | undefined;
  /**
   * What is kept of a vector. A search gives the exact results over what is kept, the same bits on every device:
   *   'float32'   its values (default)
   *   'bfloat16'  each value rounded to nearest: half the memory
   *   'int8'      whole numbers of -127 to 127 times a scale of the vector: a quarter of the memory
   *   'binary'    its sign bits, D / 8 bytes; the score of a query is then the inner product of the signs, each +1 or -1
   *               (0 counts as -1), which is D - 2 x the Hamming distance
   * On a GPU all but 'float32' must fit in its memory.
   */
  storage?: IndexStorage | undefined;
}

export interface FlatIndexLoadOptions extends Omit<FlatIndexOptions, 'dimensions'> {
  /**
   * Leave the vectors in the file, from where a search brings them page by page: nothing is read at first, the
   * results have the same bits, and the index is read-only. Values are not checked: a row with NaN is never found,
   * and its rank is behind all that are.
   * A file that changed its size gives MALFORMED_FILE; cut short in the middle of a search it ends the process, so
   * replace files by renaming, as `save` does. For one float32 array, as `save` writes it, on the CPU.
   */
  memoryMap?: boolean | undefined;
}

export interface Hit {
  id: string;
  score: number;
}

export interface SearchOptions {
  /** Search among these ids alone. */
  only?: Iterable<string> | undefined;
}

const searchOptions = z.strictObject({ only: z.unknown() }).partial();
const loadOptions = z
  .strictObject({ memoryMap: z.boolean(), device: z.string(), scan: z.string(), storage: z.string() })
  .partial();
const largestRow = 2 ** 31 - 1;
const savedRows = 4096;

/**
 * Exact inner-product search over vectors in memory or in a mapped file: cosine similarity when the vectors have length 1. Equal
 * scores keep the order in which the vectors were added. Work runs off the event loop, in the order of the calls; a
 * vector that is added before a search begins is found by it.
 */
export class FlatIndex {
  readonly #native: NativeFlatIndex;
  readonly #table = new IdTable();
  #isMapped = false;
  #origin: EmbeddingsOrigin | undefined;
  #failure: XlembedError | undefined;

  private constructor(
    readonly dimensions: number,
    readonly device: string,
    create: (addon: NativeAddon) => NativeFlatIndex,
  ) {
    this.#native = nativeValue(() => create(loadNative()));
  }

  /** An empty index. Throws INVALID_ARGUMENT, DEVICE_UNAVAILABLE and what loading the addon may throw. */
  static create(options: FlatIndexOptions): FlatIndex {
    if (!options) throw invalidArgument('options', 'at least { dimensions }', options);
    const { dimensions, device = 'cpu', scan = 'float32', storage = 'float32' } = options;
    checkedDimensions(dimensions);
    requireOneOf('scan', scan, ['float32', 'bfloat16', 'int8']);
    requireOneOf('storage', storage, ['float32', 'bfloat16', 'int8', 'binary']);
    if (storage !== 'float32') {
      requireOneOf('scan', scan, ['float32'], `vectors stored as ${storage} have no narrower copy`);
    }
    return new FlatIndex(dimensions, device, (addon) =>
      addon.createFlatIndex(dimensions, device, scan, storage),
    );
  }

  /** Vectors in the index. */
  get size(): number {
    return this.#table.ids.length;
  }

  /** Row -> id. */
  get ids(): readonly string[] {
    return this.#table.ids;
  }

  /**
   * Appends vectors (rows, D), all or none; `ids` are by default the numbers of the vectors in order of arrival.
   * Throws DIMENSION_MISMATCH and INVALID_ARGUMENT (an id that is taken, a row with NaN or infinity).
   */
  async add(vectors: Vectors, ids?: readonly string[]): Promise<void> {
    this.#requireWritable();
    const data = checkedVectors('vectors', vectors, this.dimensions);
    const count = data.length / this.dimensions;
    if (this.size + count > largestRow)
      throw invalidArgument('vectors', `at most ${largestRow}`, this.size + count);
    this.#table.add(count, ids);
    if (count > 0) await this.#change(() => this.#native.add(data));
  }

  /** Takes vectors out. Throws INVALID_ARGUMENT for an id that is not in the index, and then removes none. */
  async remove(ids: Iterable<string>): Promise<void> {
    this.#requireWritable();
    const rows = this.#table.rowsOf(ids);
    if (rows.length === 0) return;
    this.#table.remove(rows);
    await this.#change(() => this.#native.remove(rows));
  }

  /**
   * For each of the queries (Q, D) its k best, best first; fewer where the index holds fewer (a mapped row with NaN is
   * none). Throws DIMENSION_MISMATCH and INVALID_ARGUMENT.
   */
  async search(queries: Vectors, k: number, options: SearchOptions = {}): Promise<Hit[][]> {
    this.#requireSound();
    checkOptions(searchOptions, options);
    requireK(k);
    const data = checkedVectors('queries', queries, this.dimensions);
    const rows = options.only ? this.#table.rowsOf(options.only) : undefined;
    const count = data.length / this.dimensions;
    const kept = Math.min(k, rows?.length ?? this.size);
    if (count === 0 || kept === 0) return Array.from({ length: count }, () => []);
    const ids = this.ids;
    const found = await nativeCall(() => this.#native.search(data, kept, rows));
    return Array.from({ length: count }, (_, q) => {
      const hits: Hit[] = [];
      for (let i = q * kept; i < (q + 1) * kept; i++) {
        const row = found.ids[i]!;
        if (row >= 0) hits.push({ id: ids[row]!, score: found.scores[i]! });
      }
      return hits;
    });
  }

  /**
   * The 1-based rank that each given row has in its query's full ranking (score descending, then row ascending).
   * Query q's rows are relevantRows[relevantOffsets[q] .. relevantOffsets[q + 1]); a row is a position in `ids`.
   */
  async ranks(queries: Vectors, relevantRows: Int32Array, relevantOffsets: Int32Array): Promise<Int32Array> {
    this.#requireSound();
    const data = checkedVectors('queries', queries, this.dimensions);
    requireOffsets(relevantOffsets, data.length / this.dimensions, relevantRows.length);
    for (const row of relevantRows) {
      if (row < 0 || row >= this.size) throw invalidArgument('relevantRows', `rows below ${this.size}`, row);
    }
    return nativeCall(() => this.#native.ranks(data, relevantRows, relevantOffsets));
  }

  /**
   * Writes a folder with `embeddings.npy` (N, D) float32 (the values that the storage stands for; of 'binary' the signs),
   * `ids.jsonl` and, as it was loaded, `origin.json`, complete or not at all; loading it with the same storage gives the same bits. Nothing may be added
   * or removed meanwhile. Throws FILE_EXISTS unless `overwrite`, and FILE_WRITE_FAILED.
   */
  async save(folder: string, options: { overwrite?: boolean | undefined } = {}): Promise<void> {
    this.#requireSound();
    const ids = this.ids.slice();
    const origin = this.#origin;
    await writeEmbeddingsFolder(folder, this.dimensions, this.#pieces(ids), { ...options, origin });
  }

  /**
   * An index of a folder written by `save` or by `xlembed encode`. Throws what opening the folder throws, and DUPLICATE_ID.
   */
  static async load(folder: string, options: FlatIndexLoadOptions = {}): Promise<FlatIndex> {
    checkOptions(loadOptions, options);
    const { memoryMap = false, ...created } = options;
    const stored = await openEmbeddingsFolder(folder);
    requireDistinctIds(folder, countRepeated(stored.ids));
    if (memoryMap) return FlatIndex.#map(stored, created);
    const index = FlatIndex.create({ dimensions: stored.dimensions, ...created });
    index.#origin = stored.origin;
    try {
      await index.#fill(stored);
    } catch (cause) {
      index.dispose();
      throw cause;
    }
    return index;
  }

  /** Frees the vectors once running work has ended; further calls fail with DISPOSED. */
  dispose(): void {
    this.#failure ??= new XlembedError('DISPOSED', 'this index was disposed', 'create a new one');
    this.#native.dispose();
  }

  static async #map(stored: EmbeddingsFolder, options: Omit<FlatIndexOptions, 'dimensions'>) {
    const { device = 'cpu', scan = 'float32', storage = 'float32' } = options;
    requireOneOf('scan', scan, ['float32'], 'a mapped index has no narrow copy');
    requireOneOf('storage', storage, ['float32'], 'a mapped index is searched as its file is');
    if (device !== 'cpu') throw unavailable(device, 'mapped');
    const array = await stored.array();
    if (!array || array.offset % 4 !== 0) {
      const hint = 'load it without, save it, and map what was saved';
      throw invalidArgument('memoryMap', 'false where the vectors are not one float32 array', true, hint);
    }
    const { rows, dimensions, origin } = stored;
    const index = new FlatIndex(checkedDimensions(dimensions), device, (addon) =>
      addon.mapFlatIndex({ ...array, rows, dimensions }),
    );
    index.#table.add(stored.ids.length, stored.ids);
    index.#isMapped = true;
    index.#origin = origin;
    return index;
  }

  async #fill(stored: EmbeddingsFolder): Promise<void> {
    for await (const piece of stored.pieces()) {
      const first = this.size;
      await this.add(piece, stored.ids.slice(first, first + piece.length / this.dimensions));
    }
  }

  async *#pieces(ids: readonly string[]): AsyncGenerator<EmbeddingsPiece> {
    for (let first = 0; first < ids.length; first += savedRows) {
      const rows = ids.slice(first, first + savedRows);
      yield { vectors: await nativeCall(() => this.#native.vectors(first, rows.length)), rows };
    }
  }

  /** A change that fails (no memory) leaves ids and vectors apart: the index says so from then on. */
  async #change(change: () => Promise<void>): Promise<void> {
    try {
      await nativeCall(change);
    } catch (cause) {
      this.#failure ??= codedNativeError(cause);
      throw cause;
    }
  }

  #requireWritable(): void {
    this.#requireSound();
    if (!this.#isMapped) return;
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

function unavailable(device: string, kind: string): XlembedError {
  return new XlembedError(
    'DEVICE_UNAVAILABLE',
    `there is no ${kind} search for device ${device}`,
    'use device "cpu"',
  );
}

function requireOffsets(offsets: Int32Array, queries: number, rows: number): void {
  const ascending = offsets.every((offset, i) => offset >= (i === 0 ? 0 : offsets[i - 1]!));
  if (offsets.length !== queries + 1 || offsets[0] !== 0 || !ascending || offsets[queries] !== rows) {
    throw invalidArgument('relevantOffsets', `${queries + 1} ascending numbers from 0 to ${rows}`, offsets);
  }
}
