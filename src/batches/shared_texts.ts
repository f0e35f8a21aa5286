import type { ParallelRecord } from '../datasets/records.js';

/** White space that folding would change: runs, and anything but a plain space. Most texts have none. */
const UNFOLDED = /\s\s|[^\S ]/u;

/** What makes two texts "the same": NFKC, lower-case, white space folded to single spaces. */
export function normalizeText(text: string): string {
  const lower = text.normalize('NFKC').toLowerCase();
  return (UNFOLDED.test(lower) ? lower.replace(/\s+/gu, ' ') : lower).trim();
}

const QUERY_BASIS = 0x811c9dc5;
const POSITIVE_BASIS = 0x01000193;
const POSITIVE_ID_BASIS = 0x9e3779b9;

/** FNV-1a over UTF-16 units, then the finaliser of MurmurHash3. */
export function hashText(text: string, basis: number): number {
  const normalized = normalizeText(text);
  let hash = basis;
  for (let i = 0; i < normalized.length; i++) hash = Math.imul(hash ^ normalized.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** The lowest bit keeps the sides apart: queries are even, positives and their ids odd. */
const queryHash = (text: string): number => (hashText(text, QUERY_BASIS) & ~1) >>> 0;

/** Equal for positives that are the same text. */
export const positiveHash = (text: string, basis = POSITIVE_BASIS): number =>
  (hashText(text, basis) | 1) >>> 0;

/** Hashes of a record's texts, both sides and every language, and of its positive's id; each once. */
function recordHashes({ query, positive, positiveId }: ParallelRecord): Set<number> {
  const hashes = new Set<number>();
  for (const text of Object.values(query)) hashes.add(queryHash(text));
  for (const text of Object.values(positive)) hashes.add(positiveHash(text));
  if (positiveId !== undefined) hashes.add(positiveHash(positiveId, POSITIVE_ID_BASIS));
  return hashes;
}

/** At least as many as the record has hashes. */
const sides = (record: ParallelRecord) =>
  Object.keys(record.query).length + Object.keys(record.positive).length + 1;

/** Values that come more than once, ascending, each once. */
function repeated(values: Uint32Array): Uint32Array {
  const sorted = values.slice().sort();
  let count = 0;
  for (let i = 1; i < sorted.length; i++) {
    const value = sorted[i]!;
    if (value === sorted[i - 1] && (count === 0 || sorted[count - 1] !== value)) sorted[count++] = value;
  }
  return sorted.slice(0, count);
}

/** Position of a value, or -1. */
function find(sorted: Uint32Array, value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return sorted[low] === value ? low : -1;
}

/**
 * Of lists that lie behind one another, list r in [offsets[r] .. offsets[r + 1]), each value becomes what `replace` gives,
 * and -1 goes. Returns where the last list then ends.
 */
function keepEach(
  values: Uint32Array,
  offsets: Uint32Array,
  replace: (value: number, list: number) => number,
): number {
  let kept = 0;
  for (let r = 0, i = 0; r + 1 < offsets.length; r++) {
    for (const end = offsets[r + 1]!; i < end; i++) {
      const replaced = replace(values[i]!, r);
      if (replaced >= 0) values[kept++] = replaced;
    }
    offsets[r + 1] = kept;
  }
  return kept;
}

/** Numbers texts so that those of one side which the same records have get one number. */
function mergeAlike(
  hashes: Uint32Array,
  texts: Uint32Array,
  offsets: Uint32Array,
): { isQuery: Uint8Array; numbers: Uint32Array } {
  // What has been together in every record so far is one class; each record splits off what it has of a class.
  const classes = hashes.map((hash) => hash & 1);
  let next = 2;
  for (let r = 0; r + 1 < offsets.length; r++) {
    const split = new Map<number, number>();
    for (let i = offsets[r]!; i < offsets[r + 1]!; i++) {
      const text = texts[i]!;
      const before = classes[text]!;
      if (!split.has(before)) split.set(before, next++);
      classes[text] = split.get(before)!;
    }
  }
  const numberOf = new Map<number, number>();
  const isQuery: number[] = [];
  const numbers = classes.map((one, text) => {
    if (!numberOf.has(one)) numberOf.set(one, isQuery.push(1 - (hashes[text]! & 1)) - 1);
    return numberOf.get(one)!;
  });
  return { isQuery: Uint8Array.from(isQuery), numbers };
}

/**
 * The texts (and ids of positives) that more than one record has, all languages together and each side by itself, by
 * number: which record has which, and the other way round. Two texts may meet in a hash by chance (1 in 2^31): then
 * records are kept apart for nothing, which costs one more draw. Texts of one side that the same records have, as a
 * text and its translations, are one: otherwise a hundred languages would make everything below 10,000 times the work.
 *
 * A positive answers the query of its record, and so the query of every record that asks the same. Hence records
 * conflict when one has a text that the other has or that is `across` one of the other's.
 */
export class SharedTexts {
  /** Text -> 1 for a query. */
  readonly #isQuery: Uint8Array;
  /** The texts of record r: [#offsets[r] .. #offsets[r + 1]) of #texts. */
  readonly #offsets: Uint32Array;
  readonly #texts: Uint32Array;
  /** The records that have text t: [#ends[t - 1] .. #ends[t]) of #holders. */
  readonly #ends: Uint32Array;
  readonly #holders: Uint32Array;

  private constructor(isQuery: Uint8Array, offsets: Uint32Array, texts: Uint32Array) {
    this.#isQuery = isQuery;
    this.#offsets = offsets;
    this.#texts = texts;
    this.#ends = new Uint32Array(isQuery.length);
    this.#holders = new Uint32Array(texts.length);
    for (const text of texts) this.#ends[text]!++;
    for (let t = 0, end = 0; t < isQuery.length; t++) {
      const start = end;
      end += this.#ends[t]!;
      this.#ends[t] = start;
    }
    for (let r = 0; r + 1 < offsets.length; r++) {
      for (const text of this.of(r)) this.#holders[this.#ends[text]!++] = r;
    }
  }

  static among(records: readonly ParallelRecord[]): SharedTexts {
    const all = new Uint32Array(records.reduce((total, record) => total + sides(record), 0));
    const offsets = new Uint32Array(records.length + 1);
    records.forEach((record, r) => {
      let end = offsets[r]!;
      for (const hash of recordHashes(record)) all[end++] = hash;
      offsets[r + 1] = end;
    });
    const hashes = repeated(all.subarray(0, offsets.at(-1)));
    keepEach(all, offsets, (hash) => find(hashes, hash));
    const { isQuery, numbers } = mergeAlike(hashes, all, offsets);
    const seen = new Int32Array(isQuery.length).fill(-1);
    const kept = keepEach(all, offsets, (text, record) => {
      const number = numbers[text]!;
      const isNew = seen[number] !== record;
      seen[number] = record;
      return isNew ? number : -1;
    });
    return new SharedTexts(isQuery, offsets, all.slice(0, kept));
  }

  /** Nothing shared: what duplicates are to a sampler that lets them meet. */
  static none(records: number): SharedTexts {
    return new SharedTexts(new Uint8Array(0), new Uint32Array(records + 1), new Uint32Array(0));
  }

  /** Number of records that share a text with another one. */
  get records(): number {
    let count = 0;
    for (let r = 0; r + 1 < this.#offsets.length; r++) if (this.#offsets[r + 1]! > this.#offsets[r]!) count++;
    return count;
  }

  /** What record r shares. */
  of(record: number): Uint32Array {
    return this.#texts.subarray(this.#offsets[record]!, this.#offsets[record + 1]!);
  }

  isQuery(text: number): boolean {
    return this.#isQuery[text] === 1;
  }

  /** The records that have the text, ascending. */
  holders(text: number): Uint32Array {
    return this.#holders.subarray(text === 0 ? 0 : this.#ends[text - 1]!, this.#ends[text]!);
  }

  /** Visits the positives that answer a query, or the queries that a positive answers; some more than once. */
  across(text: number, visit: (text: number) => void): void {
    const side = this.#isQuery[text];
    for (const record of this.holders(text)) {
      const end = this.#offsets[record + 1]!;
      for (let i = this.#offsets[record]!; i < end; i++) {
        const other = this.#texts[i]!;
        if (this.#isQuery[other] !== side) visit(other);
      }
    }
  }

  /** The record itself, and those that ask the same. */
  askingTheSame(record: number): number[] {
    const queries = [...this.of(record)].filter((text) => this.isQuery(text));
    return [...new Set([record, ...queries.flatMap((text) => [...this.holders(text)])])];
  }
}

/** Numbers the records of a batch so that those which conflict, directly or through others, have the same number. */
export function groupsOfConflict(records: readonly number[], shared: SharedTexts): Int32Array {
  const groups = Int32Array.from(records, (_, i) => i);
  const root = (i: number): number => {
    let at = i;
    // Halves the path on the way: in an unlucky order it would be as long as the batch.
    for (; groups[at] !== at; at = groups[at]!) groups[at] = groups[groups[at]!]!;
    return at;
  };
  const join = (i: number, k: number) => {
    const [a, b] = [root(i), root(k)];
    groups[Math.max(a, b)] = Math.min(a, b);
  };
  const first = new Map<number, number>();
  records.forEach((record, i) => {
    for (const text of shared.of(record)) {
      if (first.has(text)) join(first.get(text)!, i);
      else first.set(text, i);
    }
  });
  for (const [text, i] of first) {
    shared.across(text, (other) => {
      if (first.has(other)) join(first.get(other)!, i);
    });
  }
  return groups.map((_, i) => root(i));
}
