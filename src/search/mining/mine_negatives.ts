import type { ParallelRecord } from '../../datasets/records.js';
import { shortened } from '../../encoding/corpus/precision.js';
import type { Embeddings, EncodeOptions, Encoder } from '../../encoding/encoder.js';
import type { FlatIndex, Hit } from '../flat_index.js';
import type { CandidatePool } from './candidates.js';
import type { ResolvedMiningOptions } from './options.js';

export interface MiningCounts {
  records: number;
  negatives: number;
  /** Positives for which none was found. */
  without: number;
  /** Passages within the ranks that lay too near the positive. */
  tooNear: number;
}

/** What embeds queries and passages, and how it compares them. */
export interface Embedder {
  encode(
    texts: readonly string[],
    options?: EncodeOptions,
  ): Promise<Pick<Embeddings, 'data' | 'rows' | 'dimensions'>>;
  model: Pick<Encoder['model'], 'similarity'>;
}

/** One search: a record's query against the passages that its positive of one language may be set beside. */
interface Task {
  record: number;
  language: string;
  query: string;
}

/** Records searched together. */
const BLOCK = 256;
/** Texts embedded together. */
const WINDOW = 4096;

/** At length 1 unless the model compares by inner product: its own head may not normalise, and training compares by cosine. */
async function embed(
  encoder: Embedder,
  texts: readonly string[],
  options: EncodeOptions,
): ReturnType<Embedder['encode']> {
  const embeddings = await encoder.encode(texts, options);
  const { data, dimensions } = embeddings;
  const byCosine = encoder.model.similarity !== 'dot';
  return { ...embeddings, data: shortened(data, dimensions, dimensions, byCosine) };
}

/** Embeds all candidates into the index; a candidate's id is its row. */
export async function indexCandidates(
  encoder: Embedder,
  pool: CandidatePool,
  index: FlatIndex,
  onProgress: (done: number, total: number) => void,
): Promise<void> {
  const texts = pool.candidates.map(({ text }) => text);
  for (let first = 0; first < texts.length; first += WINDOW) {
    const window = texts.slice(first, first + WINDOW);
    const embeddings = await embed(encoder, window, {
      role: 'passage',
      onProgress: (done) => onProgress(first + done, texts.length),
    });
    await index.add(embeddings);
  }
}

/**
 * The records from `from` on with hard negatives: for each positive, passages of other records that the index ranks
 * within `ranks` of its query (in the positive's language where the record has one). Answers never become negatives: no
 * positive of the record in any language, nor of a record that shares a query or positive with it. Negatives a record
 * has already come first.
 */
export async function* mineNegatives(
  encoder: Embedder,
  records: readonly ParallelRecord[],
  pool: CandidatePool,
  index: FlatIndex,
  options: ResolvedMiningOptions,
  counts: MiningCounts,
  from = 0,
): AsyncGenerator<ParallelRecord, void, undefined> {
  for (let first = from; first < records.length; first += BLOCK) {
    const end = Math.min(first + BLOCK, records.length);
    const found = new Map<number, Record<string, string[]>>();
    for (const language of pool.byLanguage.keys()) {
      const tasks = tasksOf(records, first, end, language);
      if (tasks.length === 0) continue;
      for (const [task, rows] of await search(encoder, tasks, records, pool, index, options, counts)) {
        const own = found.get(task.record) ?? {};
        for (const row of rows) {
          const { language: spoken, text } = pool.candidates[row]!;
          own[spoken] = [...(own[spoken] ?? []), text];
        }
        found.set(task.record, own);
      }
    }
    for (let record = first; record < end; record++) {
      counts.records += 1;
      yield withNegatives(records[record]!, found.get(record) ?? {}, counts);
    }
  }
}

function tasksOf(records: readonly ParallelRecord[], first: number, end: number, language: string): Task[] {
  return records.slice(first, end).flatMap(({ query, positive }, i) => {
    const text = query[language] ?? query[Object.keys(query).sort()[0]!];
    return positive[language] === undefined || text === undefined
      ? []
      : [{ record: first + i, language, query: text }];
  });
}

/** The rows chosen for each task of one language. */
async function search(
  encoder: Embedder,
  tasks: readonly Task[],
  records: readonly ParallelRecord[],
  pool: CandidatePool,
  index: FlatIndex,
  options: ResolvedMiningOptions,
  counts: MiningCounts,
): Promise<[Task, number[]][]> {
  const { language } = tasks[0]!;
  const allowed = allowedIds(pool, language, options.language);
  if (allowed?.length === 0) return [];
  const queries = await embed(
    encoder,
    tasks.map(({ query }) => query),
    { role: 'query' },
  );
  const answers = tasks.map(({ record }) => pool.answers(record));
  const most = answers.reduce((a, { size }) => Math.max(a, size), 0);
  const hits = await index.search(queries, options.ranks[1] + most, allowed ? { only: allowed } : {});
  const own = tasks.map(({ record }) => String(pool.rowOf(records[record]!.positive[language]!, language)));
  const limits = await scoreLimits(index, queries, own, options);
  return tasks.map((task, i) => [task, choose(hits[i]!, answers[i]!, limits?.[i], options, counts)]);
}

/** Ids that a search is confined to; undefined for all. */
function allowedIds(
  pool: CandidatePool,
  language: string,
  policy: ResolvedMiningOptions['language'],
): string[] | undefined {
  if (policy === 'any') return undefined;
  const rows = [...pool.byLanguage].flatMap(([spoken, own]) =>
    (spoken === language) === (policy === 'same') ? own : [],
  );
  return rows.map(String);
}

/** The highest score that a negative of each query may have; undefined without a margin. */
async function scoreLimits(
  index: FlatIndex,
  queries: Parameters<FlatIndex['search']>[0],
  own: readonly string[],
  { margin, relativeMargin }: ResolvedMiningOptions,
): Promise<number[] | undefined> {
  if (margin === undefined && relativeMargin === undefined) return undefined;
  const only = new Set(own);
  const scores = await index.search(queries, only.size, { only });
  return own.map((id, i) => {
    const { score } = scores[i]!.find((hit) => hit.id === id)!;
    return score - Math.max(margin ?? 0, (relativeMargin ?? 0) * Math.abs(score));
  });
}

function choose(
  hits: readonly Hit[],
  answers: ReadonlySet<number>,
  limit: number | undefined,
  { ranks: [first, last], negatives }: ResolvedMiningOptions,
  counts: MiningCounts,
): number[] {
  const ranked = hits.filter(({ id }) => !answers.has(Number(id))).slice(first - 1, last);
  const far = limit === undefined ? ranked : ranked.filter(({ score }) => score <= limit);
  counts.tooNear += ranked.length - far.length;
  if (far.length === 0) counts.without += 1;
  return far.slice(0, negatives).map(({ id }) => Number(id));
}

function withNegatives(
  record: ParallelRecord,
  mined: Record<string, string[]>,
  counts: MiningCounts,
): ParallelRecord {
  const negatives: Record<string, string[]> = { ...record.negatives };
  for (const [language, texts] of Object.entries(mined)) {
    const before = negatives[language] ?? [];
    const all = [...new Set([...before, ...texts])];
    counts.negatives += all.length - before.length;
    negatives[language] = all;
  }
  return Object.keys(negatives).length === 0 ? record : { ...record, negatives };
}
