import { invalidArgument } from '../errors.js';
import { copyRow, type EmbeddedTexts } from './embedded_texts.js';
import { judgedRanking, type Qrels, requireGrade } from './judgements.js';
import type { JudgedRanking } from './measures/measure.js';
import type { RankingIndex, RankingIndexFactory, Similarity } from './ranking_index.js';
import { tieBreakingOrder } from './ranking_order.js';

export interface PoolOptions {
  createIndex: RankingIndexFactory;
  dimensions: number;
  similarity: Similarity;
}

/** Rows handed to the index at once, so that no second copy of all candidates is ever held here. */
const rowsPerAdd = 4096;

/** Candidates of one or more languages in an index, laid so that equal scores rank as pytrec_eval ranks them. */
export class CandidatePool {
  readonly #index: RankingIndex;
  readonly #rowOf: ReadonlyMap<string, number>;
  readonly #options: PoolOptions;
  /** Row -> which of the parts it came from. */
  readonly #partOf: Uint16Array;

  private constructor(
    index: RankingIndex,
    rowOf: ReadonlyMap<string, number>,
    partOf: Uint16Array,
    options: PoolOptions,
  ) {
    this.#index = index;
    this.#rowOf = rowOf;
    this.#partOf = partOf;
    this.#options = options;
  }

  /** The caller disposes of the pool. Throws INVALID_ARGUMENT when two candidates share an id. */
  static async build(parts: readonly EmbeddedTexts[], options: PoolOptions): Promise<CandidatePool> {
    const ids = parts.flatMap((part) => part.ids);
    const order = tieBreakingOrder(ids);
    const index = options.createIndex(options.dimensions);
    try {
      const rowOf = rowsById(ids, order);
      await addInOrder(index, parts, order, options);
      const partOfCandidate = parts.flatMap((part, number) => part.ids.map(() => number));
      const partOf = Uint16Array.from(order, (candidate) => partOfCandidate[candidate]!);
      return new CandidatePool(index, rowOf, partOf, options);
    } catch (error) {
      index.dispose();
      throw error;
    }
  }

  /**
   * Where the pool's relevant candidates stand for each query, in the order of the queries. A query without a
   * relevant candidate in this pool is left out.
   */
  async rank(queries: EmbeddedTexts, qrels: Qrels): Promise<Map<string, JudgedRanking>> {
    const judged = queries.ids
      .map((id, row) => this.#relevantOf(id, row, qrels))
      .filter(({ rows }) => rows.length > 0);
    if (judged.length === 0) return new Map();
    const ranks = await this.#index.ranks(
      this.#gatherQueries(queries, judged),
      Int32Array.from(judged.flatMap(({ rows }) => rows)),
      offsetsOf(judged),
    );
    let next = 0;
    return new Map(
      judged.map(({ id, grades }) => {
        const hits = grades.map((grade) => ({ rank: ranks[next++]!, grade }));
        return [id, judgedRanking(hits, Float64Array.from(grades).sort().reverse())];
      }),
    );
  }

  /** The share that each part has of the queries' first k candidates; of at least one query. */
  async shares(queries: EmbeddedTexts, parts: number, k: number): Promise<number[]> {
    const all = queries.ids.map((_, queryRow) => ({ queryRow }));
    const found = await this.#index.search(this.#gatherQueries(queries, all), k);
    const counts = new Array<number>(parts).fill(0);
    const hits = found.flat();
    for (const { id } of hits) counts[this.#partOf[Number(id)]!]! += 1;
    return counts.map((count) => count / hits.length);
  }

  dispose(): void {
    this.#index.dispose();
  }

  #relevantOf(id: string, queryRow: number, qrels: Qrels): JudgedQuery {
    const query: JudgedQuery = { id, queryRow, rows: [], grades: [] };
    for (const [candidate, grade] of qrels.get(id) ?? []) {
      requireGrade(id, candidate, grade);
      const row = this.#rowOf.get(candidate);
      if (row === undefined || !(grade > 0)) continue;
      query.rows.push(row);
      query.grades.push(grade);
    }
    return query;
  }

  #gatherQueries(queries: EmbeddedTexts, judged: readonly { queryRow: number }[]): Float32Array {
    const { dimensions, similarity } = this.#options;
    const vectors = new Float32Array(judged.length * dimensions);
    judged.forEach(({ queryRow }, target) => {
      copyRow(queries.embeddings, queryRow, vectors, target, dimensions, similarity);
    });
    return vectors;
  }
}

interface JudgedQuery {
  id: string;
  queryRow: number;
  /** Rows of the index, and the grade of each. */
  rows: number[];
  grades: number[];
}

function offsetsOf(judged: readonly JudgedQuery[]): Int32Array {
  const offsets = new Int32Array(judged.length + 1);
  judged.forEach(({ rows }, query) => {
    offsets[query + 1] = offsets[query]! + rows.length;
  });
  return offsets;
}

function rowsById(ids: readonly string[], order: Int32Array): Map<string, number> {
  const rowOf = new Map<string, number>();
  order.forEach((candidate, row) => {
    rowOf.set(ids[candidate]!, row);
  });
  if (rowOf.size === ids.length) return rowOf;
  const seen = new Set<string>();
  const repeated = ids.find((id) => seen.size === seen.add(id).size);
  throw invalidArgument('candidate ids', 'every id once in the pool', repeated);
}

async function addInOrder(
  index: RankingIndex,
  parts: readonly EmbeddedTexts[],
  order: Int32Array,
  { dimensions, similarity }: PoolOptions,
): Promise<void> {
  const places = parts.flatMap((part) => part.ids.map((_, row) => ({ part, row })));
  for (let start = 0; start < order.length; start += rowsPerAdd) {
    const rows = order.subarray(start, start + rowsPerAdd);
    const vectors = new Float32Array(rows.length * dimensions);
    rows.forEach((candidate, target) => {
      const { part, row } = places[candidate]!;
      copyRow(part.embeddings, row, vectors, target, dimensions, similarity);
    });
    await index.add(vectors);
  }
}
