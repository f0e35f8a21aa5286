import { readFile } from 'node:fs/promises';

/** Hashes looked at together: 64 MB, whatever the corpus. */
const HASHES_AT_ONCE = 2 ** 23;

/** The sorted 53-bit hashes of a shard's ids, as float64 bytes. */
export function hashedIds(ids: readonly string[]): Uint8Array {
  return new Uint8Array(Float64Array.from(ids, hash53).sort().buffer);
}

/**
 * Hashes that occur more than once among the shards' files of hashes, in memory that does not grow with the corpus: one
 * range of hash values after the other. An id that occurs twice is among them; so is, once in a while, a coincidence.
 */
export async function repeatedHashes(paths: readonly string[], hashes: number): Promise<Set<number>> {
  const repeated = new Set<number>();
  const passes = Math.max(1, Math.ceil(hashes / HASHES_AT_ONCE));
  for (let pass = 0; pass < passes; ++pass) {
    const [from, to] = [pass, pass + 1].map((n) => (n / passes) * 2 ** 53) as [number, number];
    const range = await hashesBetween(paths, from, to);
    for (let i = 1; i < range.length; ++i) if (range[i] === range[i - 1]) repeated.add(range[i]!);
  }
  return repeated;
}

async function hashesBetween(paths: readonly string[], from: number, to: number): Promise<Float64Array> {
  const parts: Float64Array[] = [];
  for (const path of paths) {
    const bytes = await readFile(path);
    const hashes = new Float64Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
    parts.push(hashes.slice(lowerBound(hashes, from), lowerBound(hashes, to)));
  }
  const all = new Float64Array(parts.reduce((sum, part) => sum + part.length, 0));
  let position = 0;
  for (const part of parts) {
    all.set(part, position);
    position += part.length;
  }
  return all.sort();
}

/** The first position whose value is at least `value`. */
function lowerBound(sorted: Float64Array, value: number): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** cyrb53 by bryc (public domain): two multiplicative hashes of 32 bits, 53 bits of which a number can hold. */
export function hash53(text: string): number {
  let [h1, h2] = [0xdeadbeef, 0x41c6ce57];
  for (let i = 0; i < text.length; ++i) {
    const unit = text.charCodeAt(i);
    h1 = Math.imul(h1 ^ unit, 2654435761);
    h2 = Math.imul(h2 ^ unit, 1597334677);
  }
  h1 = Math.imul(h1 ^ (h1 >>> 16), 2246822507) ^ Math.imul(h2 ^ (h2 >>> 13), 3266489909);
  h2 = Math.imul(h2 ^ (h2 >>> 16), 2246822507) ^ Math.imul(h1 ^ (h1 >>> 13), 3266489909);
  return 4294967296 * (2097151 & h2) + (h1 >>> 0);
}
