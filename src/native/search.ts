export type SearchScan = 'float32' | 'bfloat16' | 'int8';
export type IndexStorage = SearchScan | 'binary';

export interface NativeSearchResult {
  /** (Q, k) descending. */
  scores: Float32Array;
  /** (Q, k) row numbers in the index, -1 where the index holds fewer than k. */
  ids: Int32Array;
}

export interface NativeFlatIndex {
  readonly size: number;
  readonly dimensions: number;
  /** (rows, D) appended; ids count up in order of arrival. */
  add(vectors: Float32Array): Promise<void>;
  /** Takes these rows (ascending, each once) out; later rows move up. */
  remove(rows: Int32Array): Promise<void>;
  /** (count, D): the vectors from row `first` on. */
  vectors(first: number, count: number): Promise<Float32Array>;
  /** Equal scores by smaller row. With `rows` (ascending, each once) only among these. */
  search(queries: Float32Array, k: number, rows?: Int32Array): Promise<NativeSearchResult>;
  /**
   * The 1-based rank that each given row has in its query's full ranking (score descending, then row ascending).
   * Query q's rows are relevantIds[relevantOffsets[q] .. relevantOffsets[q + 1]).
   */
  ranks(queries: Float32Array, relevantIds: Int32Array, relevantOffsets: Int32Array): Promise<Int32Array>;
  dispose(): void;
}

export interface NativeFaissIndex {
  readonly size: number;
  readonly dimensions: number;
  readonly trained: boolean;
  readonly metric: 'inner_product' | 'l2';
  /** (rows, D) */
  train(vectors: Float32Array): Promise<void>;
  /** vectors (rows, D), labels (rows): whole numbers, each once. */
  add(vectors: Float32Array, labels: Float64Array): Promise<void>;
  /** How many were removed. */
  remove(labels: Float64Array): Promise<number>;
  labels(): Promise<Float64Array>;
  setParameter(name: string, value: number): Promise<void>;
  /** (Q, k) each: FAISS's own scores, labels -1 where fewer were found. */
  search(queries: Float32Array, k: number): Promise<{ scores: Float32Array; labels: Float64Array }>;
  write(path: string): Promise<void>;
  dispose(): void;
}
