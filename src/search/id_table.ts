import { invalidArgument, XlembedError } from '../errors.js';
import { LargeMap } from '../large_map.js';

/** Names for the rows of an index, each once. Lists handed out stay as they are: removing makes a new list. */
export class IdTable {
  #ids: string[] = [];
  /** Each id has a number, which stays when its row moves up: removing a few of a million touches no other. */
  readonly #numbers = new LargeMap<string, number>();
  /** Row -> number, ascending. */
  #order: number[] = [];
  /** Vectors ever added: the next number, and the next automatic id. */
  #added = 0;

  /** Row -> id. Later additions appear in it; removals do not. */
  get ids(): readonly string[] {
    return this.#ids;
  }

  /** Names `count` new rows, by default with the number of vectors added before. Throws INVALID_ARGUMENT. */
  add(count: number, ids?: readonly string[]): void {
    const added = ids ?? Array.from({ length: count }, (_, i) => String(this.#added + i));
    if (added.length !== count)
      throw invalidArgument('ids', `one id for each of ${count} vectors`, added.length);
    requireNewIds(added, this.#numbers);
    for (const id of added) {
      this.#numbers.set(id, this.#added);
      this.#order.push(this.#added);
      this.#ids.push(id);
      this.#added += 1;
    }
  }

  /** The rows of these ids, ascending, each once. Throws INVALID_ARGUMENT for an unknown id. */
  rowsOf(ids: Iterable<string>): Int32Array {
    requireSeveral(ids);
    const rows: number[] = [];
    for (const id of ids) {
      const number = this.#numbers.get(id);
      if (number === undefined) throw invalidArgument('ids', 'ids that are in the index', id);
      rows.push(this.#rowOf(number));
    }
    return Int32Array.from(rows)
      .sort()
      .filter((row, i, sorted) => row !== sorted[i - 1]);
  }

  /** Takes out rows (ascending, each once); later rows move up. */
  remove(rows: Int32Array): void {
    for (const row of rows) this.#numbers.delete(this.#ids[row]!);
    this.#ids = without(rows, this.#ids);
    this.#order = without(rows, this.#order);
  }

  /** At the place of its number until something is removed, then before it. */
  #rowOf(number: number): number {
    let [first, last] = [0, Math.min(number, this.#order.length - 1)];
    while (this.#order[last] !== number) {
      const middle = (first + last) >> 1;
      if (this.#order[middle]! < number) first = middle + 1;
      else last = middle;
    }
    return last;
  }
}

/** `rows` are ascending, each once. */
function without<Item>(rows: Int32Array, items: readonly Item[]): Item[] {
  const kept = items.slice(0, rows[0]);
  let next = 0;
  for (let row = kept.length; row < items.length; row++) {
    if (row === rows[next]) next++;
    else kept.push(items[row]!);
  }
  return kept;
}

/** Throws INVALID_ARGUMENT for an id that is taken or comes twice. */
export function requireNewIds(ids: readonly string[], taken: LargeMap<string, number>): void {
  const seen = new LargeMap<string, true>();
  for (const id of ids) {
    if (typeof id !== 'string') throw invalidArgument('ids', 'texts', id);
    if (seen.has(id) || taken.has(id)) throw invalidArgument('ids', 'an id that is not taken', id);
    seen.set(id, true);
  }
}

/** A text is iterable too: its characters would be taken for ids. Throws INVALID_ARGUMENT. */
export function requireSeveral(ids: Iterable<string>): void {
  if (typeof ids === 'string')
    throw invalidArgument('ids', 'an array or a set of ids', ids, 'of one id: [id]');
}

/** Of a folder of embeddings. Throws DUPLICATE_ID. */
export function requireDistinctIds(folder: string, duplicateIds: number): void {
  if (duplicateIds === 0) return;
  throw new XlembedError(
    'DUPLICATE_ID',
    `${duplicateIds} rows of ${folder} have an id that an earlier row has`,
    'an index names each vector once: embed the corpus again with another id column',
  );
}
