/** What an evaluation needs of an exact index; search/flat_index.ts has it. */
export interface RankingIndex {
  /** (rows, D) appended; row numbers count up in order of arrival. */
  add(vectors: Float32Array): Promise<void>;
  /**
   * The 1-based rank that each given row has in its query's full ranking: inner product descending, then row
   * ascending. Query q's rows are relevantIds[relevantOffsets[q] .. relevantOffsets[q + 1]).
   */
  ranks(queries: Float32Array, relevantIds: Int32Array, relevantOffsets: Int32Array): Promise<Int32Array>;
  /** For each query its k best, best first, equal scores by row; an id is a row number as text. */
  search(queries: Float32Array, k: number): Promise<{ id: string; score: number }[][]>;
  dispose(): void;
}

/** Makes an empty index for vectors of D values. */
export type RankingIndexFactory = (dimensions: number) => RankingIndex;

/** How two embeddings are compared. Cosine divides both by their length first; it is the paper's choice. */
export type Similarity = 'cosine' | 'dot';
