import type { RankingIndexFactory } from './ranking_index.js';
import { compareIds, tieBreakingOrder } from './ranking_order.js';
import type { TaskText } from './tasks/task.js';

export interface Found {
  id: string;
  score: number;
}

export interface StreamedSearchOptions {
  createIndex: RankingIndexFactory;
  dimensions: number;
  /** Passages kept of each query. */
  depth: number;
  /** Passages in memory at once. */
  blockRows: number;
  /** (N, D) of passages, comparable with the queries by inner product. */
  embed(texts: readonly string[]): Promise<Float32Array>;
  onBlock?: ((passagesDone: number) => void) | undefined;
}

/**
 * The best passages of a stream for each of the queries (Q, D), exact, best first, equal scores by greater id as
 * trec_eval ranks them. Memory holds one block of passages and `depth` hits a query, however long the stream is.
 */
export async function streamedSearch(
  queries: Float32Array,
  passages: AsyncIterable<TaskText>,
  options: StreamedSearchOptions,
): Promise<Found[][]> {
  let best: Found[][] = Array.from({ length: queries.length / options.dimensions }, () => []);
  let done = 0;
  for await (const block of blocksOf(passages, options.blockRows)) {
    const found = await searchBlock(queries, block, options);
    best = best.map((kept, query) => merge(kept, found[query]!, options.depth));
    done += block.length;
    options.onBlock?.(done);
  }
  return best;
}

/** Rows enter the index by descending id, so that its earlier row is the one that wins a tie. */
async function searchBlock(
  queries: Float32Array,
  block: TaskText[],
  options: StreamedSearchOptions,
): Promise<Found[][]> {
  const { createIndex, dimensions, depth, embed } = options;
  const order = tieBreakingOrder(block.map(({ id }) => id));
  const vectors = await embed(block.map(({ text }) => text));
  const ordered = new Float32Array(vectors.length);
  order.forEach((from, row) => {
    ordered.set(vectors.subarray(from * dimensions, (from + 1) * dimensions), row * dimensions);
  });
  const index = createIndex(dimensions);
  try {
    await index.add(ordered);
    const found = await index.search(queries, Math.min(depth, block.length));
    return found.map((hits) => hits.map(({ id, score }) => ({ id: block[order[Number(id)]!]!.id, score })));
  } finally {
    index.dispose();
  }
}

function merge(kept: Found[], added: Found[], depth: number): Found[] {
  if (kept.length === 0) return added;
  const all = [...kept, ...added].sort((a, b) => b.score - a.score || compareIds(b.id, a.id));
  return all.slice(0, depth);
}

async function* blocksOf(passages: AsyncIterable<TaskText>, rows: number): AsyncGenerator<TaskText[]> {
  let block: TaskText[] = [];
  for await (const passage of passages) {
    block.push(passage);
    if (block.length < rows) continue;
    yield block;
    block = [];
  }
  if (block.length > 0) yield block;
}
