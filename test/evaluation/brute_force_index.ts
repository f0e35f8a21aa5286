import type { RankingIndex } from '#xlembed/evaluation/ranking_index.js';

/** The contract in its plainest form: every score in float64, every rank by counting what stands before it. */
export class BruteForceIndex implements RankingIndex {
  readonly rows: Float32Array[] = [];
  disposed = false;

  constructor(readonly dimensions: number) {}

  async add(vectors: Float32Array): Promise<void> {
    for (let start = 0; start < vectors.length; start += this.dimensions) {
      this.rows.push(vectors.slice(start, start + this.dimensions));
    }
  }

  async ranks(queries: Float32Array, ids: Int32Array, offsets: Int32Array): Promise<Int32Array> {
    const ranks = new Int32Array(ids.length);
    for (let query = 0; query + 1 < offsets.length; query++) {
      const vector = queries.subarray(query * this.dimensions, (query + 1) * this.dimensions);
      const scores = this.rows.map((row) => row.reduce((sum, value, d) => sum + value * vector[d]!, 0));
      for (let at = offsets[query]!; at < offsets[query + 1]!; at++) {
        const own = scores[ids[at]!]!;
        const before = scores.filter((score, row) => score > own || (score === own && row < ids[at]!));
        ranks[at] = before.length + 1;
      }
    }
    return ranks;
  }

  async search(queries: Float32Array, k: number): Promise<{ id: string; score: number }[][]> {
    return Array.from({ length: queries.length / this.dimensions }, (_, query) => {
      const vector = queries.subarray(query * this.dimensions, (query + 1) * this.dimensions);
      const hits = this.rows.map((row, id) => ({
        id: String(id),
        score: row.reduce((sum, value, d) => sum + value * vector[d]!, 0),
      }));
      return hits.sort((a, b) => b.score - a.score || Number(a.id) - Number(b.id)).slice(0, k);
    });
  }

  dispose(): void {
    this.disposed = true;
  }
}
