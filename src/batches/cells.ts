import type { ParallelRecord } from '../datasets/records.js';

/**
 * Which record has a text in which language: for each side and language, one bit a record, 32 in a word.
 * The count matrix over (query language, positive language) is made of the ANDs of two such rows.
 */
export interface Presence {
  records: number;
  languages: readonly string[];
  /** [language] -> (records / 32) words. */
  query: Uint32Array[];
  positive: Uint32Array[];
}

/** Records that lie side by side: those of one data set. */
export interface RecordRange {
  first: number;
  /** Exclusive. */
  end: number;
}

/** The records of a data set that have a query in one language and a positive in another (or the same) one. */
export interface Cell {
  /** Position in the data sets. */
  dataset: number;
  range: RecordRange;
  /** Positions in `languages`. */
  query: number;
  positive: number;
  count: number;
  /** Its records, ascending; null where the cell holds so many that drawing from the whole range finds one soon. */
  listed: Int32Array | null;
}

/** A cell with less than this share of its range gets a list; the others cost no memory and a few redraws. */
const LISTED_BELOW = 1 / 8;

/** Every language that some record has on some side, in code unit order. */
export function languagesOf(records: readonly ParallelRecord[]): string[] {
  const found = new Set<string>();
  for (const record of records) {
    for (const language of Object.keys(record.query)) found.add(language);
    for (const language of Object.keys(record.positive)) found.add(language);
  }
  return [...found].sort();
}

export function presenceOf(records: readonly ParallelRecord[], languages: readonly string[]): Presence {
  const rows = () => languages.map(() => new Uint32Array(Math.ceil(records.length / 32)));
  const presence = { records: records.length, languages, query: rows(), positive: rows() };
  const index = new Map(languages.map((language, i) => [language, i]));
  records.forEach((record, r) => {
    mark(presence.query, index, record.query, r);
    mark(presence.positive, index, record.positive, r);
  });
  return presence;
}

function mark(rows: Uint32Array[], index: Map<string, number>, texts: Record<string, string>, r: number) {
  for (const language of Object.keys(texts)) {
    const row = rows[index.get(language) ?? -1];
    if (row) row[r >>> 5]! |= 1 << (r & 31);
  }
}

/** Number of set bits; Warren, "Hacker's Delight", figure 5-2. */
function popCount(word: number): number {
  let x = word - ((word >>> 1) & 0x55555555);
  x = (x & 0x33333333) + ((x >>> 2) & 0x33333333);
  x = (x + (x >>> 4)) & 0x0f0f0f0f;
  return Math.imul(x, 0x01010101) >>> 24;
}

/** The bits of word w that belong to records of the range. */
function rangeMask(w: number, { first, end }: RecordRange): number {
  const low = first - w * 32;
  const high = end - w * 32;
  const from = low <= 0 ? -1 : low >= 32 ? 0 : -1 << low;
  const to = high >= 32 ? -1 : high <= 0 ? 0 : ~(-1 << high);
  return from & to;
}

/** Calls `visit` with every word of the range in which a record may have both languages. */
function eachWord(
  presence: Presence,
  { query, positive, range }: Pick<Cell, 'query' | 'positive' | 'range'>,
  visit: (w: number, bits: number) => void,
): void {
  const [a, b] = [presence.query[query]!, presence.positive[positive]!];
  const end = Math.ceil(range.end / 32);
  for (let w = range.first >>> 5; w < end; w++) visit(w, a[w]! & b[w]! & rangeMask(w, range));
}

/** [query language][positive language] -> number of the range's records that have both. */
export function countMatrix(presence: Presence, range: RecordRange): number[][] {
  return presence.query.map((_, query) =>
    presence.positive.map((_, positive) => {
      let count = 0;
      eachWord(presence, { query, positive, range }, (_, bits) => {
        count += popCount(bits);
      });
      return count;
    }),
  );
}

export function makeCell(presence: Presence, place: Omit<Cell, 'listed'>): Cell {
  const { first, end } = place.range;
  return { ...place, listed: place.count < (end - first) * LISTED_BELOW ? listCell(presence, place) : null };
}

function listCell(presence: Presence, place: Omit<Cell, 'listed'>): Int32Array {
  const list = new Int32Array(place.count);
  let length = 0;
  eachWord(presence, place, (w, word) => {
    for (let bits = word; bits !== 0; bits &= bits - 1)
      list[length++] = w * 32 + 31 - Math.clz32(bits & -bits);
  });
  return list;
}

export function holds(presence: Presence, cell: Cell, record: number): boolean {
  const both = presence.query[cell.query]![record >>> 5]! & presence.positive[cell.positive]![record >>> 5]!;
  return ((both >>> (record & 31)) & 1) === 1;
}

/** Number of records that at least one of the cells holds. */
export function countReachable(presence: Presence, cells: readonly Cell[]): number {
  const union = new Uint32Array(Math.ceil(presence.records / 32));
  for (const cell of cells) {
    eachWord(presence, cell, (w, bits) => {
      union[w]! |= bits;
    });
  }
  return union.reduce((total, word) => total + popCount(word), 0);
}
