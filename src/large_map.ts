/** V8's own maps and sets end at 2^24 entries. */
const MOST_IN_A_PART = 2 ** 23;

/** A Map of any size: several of V8's, one after another. Keys come in the order in which they arrived. */
export class LargeMap<K, V> {
  readonly #parts = [new Map<K, V>()];

  constructor(
    entries: Iterable<readonly [K, V]> = [],
    private readonly mostInAPart = MOST_IN_A_PART,
  ) {
    for (const [key, value] of entries) this.set(key, value);
  }

  get size(): number {
    return this.#parts.reduce((sum, part) => sum + part.size, 0);
  }

  get(key: K): V | undefined {
    return this.#partWith(key)?.get(key);
  }

  has(key: K): boolean {
    return this.#partWith(key) !== undefined;
  }

  set(key: K, value: V): void {
    const before = this.#partWith(key);
    if (!before && this.#parts.at(-1)!.size >= this.mostInAPart) this.#parts.push(new Map());
    (before ?? this.#parts.at(-1)!).set(key, value);
  }

  delete(key: K): void {
    this.#partWith(key)?.delete(key);
  }

  *[Symbol.iterator](): Generator<[K, V], void, undefined> {
    for (const part of this.#parts) yield* part;
  }

  #partWith(key: K): Map<K, V> | undefined {
    return this.#parts.find((part) => part.has(key));
  }
}

/** How many of the values an earlier one equals. */
export function countRepeated(values: Iterable<string>): number {
  const seen = new LargeMap<string, true>();
  let repeated = 0;
  for (const value of values) {
    if (seen.has(value)) repeated++;
    else seen.set(value, true);
  }
  return repeated;
}
