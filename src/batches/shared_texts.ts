import type { ParallelRecord } from '../datasets/records.js';

/**
 * For every record, the texts (and the id of the positive) that it shares with another record: hashes[offsets[r] .. offsets[r + 1]).
 * Equal texts have equal hashes, so records without a common hash share no text. Two texts may meet in a hash
 * by chance (1 in 2^32): then two records are kept apart for nothing, which costs one more draw.
 */
export interface SharedTexts {
  /** (records + 1) ascending. */
  offsets: Uint32Array;
  hashes: Uint32Array;
  /** Number of records that share a text with another one. */
  records: number;
}

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

/** FNV-1a over UTF-16 units, then the finaliser of MurmurHash3; one basis a side keeps the sides apart. */
export function hashText(text: string, basis: number): number {
  const normalized = normalizeText(text);
  let hash = basis;
  for (let i = 0; i < normalized.length; i++) hash = Math.imul(hash ^ normalized.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** Equal for positives that are the same text. */
export const positiveHash = (text: string): number => hashText(text, POSITIVE_BASIS);

/** Hashes of a record's texts, both sides and every language, and of its positive's id; each once. */
export function recordHashes(record: ParallelRecord): number[] {
  const hashes: number[] = [];
  for (const text of Object.values(record.query)) hashes.push(hashText(text, QUERY_BASIS));
  for (const text of Object.values(record.positive)) hashes.push(positiveHash(text));
  if (record.positiveId !== undefined) hashes.push(hashText(record.positiveId, POSITIVE_ID_BASIS));
  return [...new Set(hashes)];
}

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

function contains(sorted: Uint32Array, value: number): boolean {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return sorted[low] === value;
}

/** At least as many as the record has hashes. */
const sides = (record: ParallelRecord) =>
  Object.keys(record.query).length + Object.keys(record.positive).length + 1;

/** Finds, among all languages and on each side by itself, the texts that more than one record has. */
export function findSharedTexts(records: readonly ParallelRecord[]): SharedTexts {
  const all = new Uint32Array(records.reduce((total, record) => total + sides(record), 0));
  const ends = new Uint32Array(records.length);
  let end = 0;
  records.forEach((record, r) => {
    for (const hash of recordHashes(record)) all[end++] = hash;
    ends[r] = end;
  });
  return keepShared(all.subarray(0, end), ends);
}

/** No record shares anything: what duplicates are to a sampler that lets them meet. */
export const nothingShared = (records: number): SharedTexts => ({
  offsets: new Uint32Array(records + 1),
  hashes: new Uint32Array(0),
  records: 0,
});

/**
 * Numbers records so that those which share a text or a positive's id, directly or through others, have the same
 * number.
 */
export function groupsOfSharing(records: readonly ParallelRecord[]): Int32Array {
  const groups = Int32Array.from(records, (_, r) => r);
  const root = (r: number): number => (groups[r] === r ? r : root(groups[r]!));
  const first = new Map<number, number>();
  records.forEach((record, r) => {
    for (const hash of recordHashes(record)) {
      const earlier = first.get(hash);
      if (earlier === undefined) first.set(hash, r);
      else groups[Math.max(root(earlier), root(r))] = Math.min(root(earlier), root(r));
    }
  });
  return groups.map((_, r) => root(r));
}

function keepShared(all: Uint32Array, ends: Uint32Array): SharedTexts {
  const shared = repeated(all);
  const offsets = new Uint32Array(ends.length + 1);
  let kept = 0;
  let records = 0;
  for (let r = 0, i = 0; r < ends.length; r++) {
    for (; i < ends[r]!; i++) if (contains(shared, all[i]!)) all[kept++] = all[i]!;
    offsets[r + 1] = kept;
    if (kept > offsets[r]!) records++;
  }
  return { offsets, hashes: all.slice(0, kept), records };
}
