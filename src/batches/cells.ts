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

/** The records that have a query in one language and a positive in another (or the same) one. */
export interface Cell {
  /** Positions in `languages`. */
  query: number;
  positive: number;
  count: number;
  /** Its records, ascending; null where the cell holds so many that drawing among all records finds one soon. */
  listed: Int32Array | null;
}

/** A cell with less than this share of the records gets a list; the others cost no memory and a few redraws. */
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

/** [query language][positive language] -> number of records that have both. */
export function countMatrix(presence: Presence): number[][] {
  return presence.query.map((query) =>
    presence.positive.map((positive) => {
      let count = 0;
      for (let w = 0; w < query.length; w++) count += popCount(query[w]! & positive[w]!);
      return count;
    }),
  );
}

export function makeCell(presence: Presence, query: number, positive: number, count: number): Cell {
  const listed = count < presence.records * LISTED_BELOW ? listCell(presence, query, positive, count) : null;
  return { query, positive, count, listed };
}

function listCell(presence: Presence, query: number, positive: number, count: number): Int32Array {
  const list = new Int32Array(count);
  let length = 0;
  for (let w = 0; w < presence.query[query]!.length; w++) {
    let bits = presence.query[query]![w]! & presence.positive[positive]![w]!;
    for (; bits !== 0; bits &= bits - 1) list[length++] = w * 32 + 31 - Math.clz32(bits & -bits);
  }
  return list;
}

export function holds(presence: Presence, cell: Cell, record: number): boolean {
  const both = presence.query[cell.query]![record >>> 5]! & presence.positive[cell.positive]![record >>> 5]!;
  return ((both >>> (record & 31)) & 1) === 1;
}

/** Number of records that at least one of the cells holds. */
export function countReachable(presence: Presence, cells: readonly Cell[]): number {
  const union = new Uint32Array(Math.ceil(presence.records / 32));
  for (const { query, positive } of cells) {
    const [a, b] = [presence.query[query]!, presence.positive[positive]!];
    for (let w = 0; w < union.length; w++) union[w]! |= a[w]! & b[w]!;
  }
  return union.reduce((total, word) => total + popCount(word), 0);
}
