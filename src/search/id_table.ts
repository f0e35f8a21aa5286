import { invalidArgument, XlembedError } from '../errors.js';
import { LargeMap } from '../large_map.js';

/** Names for the rows of an index, each once. Lists handed out stay as they are: removing makes a new list. */
export class IdTable {
  #ids: string[] = [];
  #rows = new LargeMap<string, number>();
  /** Vectors ever added: the next automatic id. */
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
    requireNewIds(added, this.#rows);
    for (const id of added) {
      this.#rows.set(id, this.#ids.length);
      this.#ids.push(id);
    }
    this.#added += count;
  }

  /** The rows of these ids, ascending, each once. Throws INVALID_ARGUMENT for an unknown id. */
  rowsOf(ids: Iterable<string>): Int32Array {
    requireSeveral(ids);
    const rows: number[] = [];
    for (const id of ids) {
      const row = this.#rows.get(id);
      if (row === undefined) throw invalidArgument('ids', 'ids that are in the index', id);
      rows.push(row);
    }
    return Int32Array.from(rows)
      .sort()
      .filter((row, i, sorted) => row !== sorted[i - 1]);
  }

  /** Takes out rows (ascending, each once); later rows move up. */
  remove(rows: Int32Array): void {
    let next = 0;
    this.#ids = this.#ids.filter((_, row) => row !== rows[next] || !++next);
    this.#rows = new LargeMap();
    for (const [row, id] of this.#ids.entries()) this.#rows.set(id, row);
  }
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
