import { invalidArgument } from '../errors.js';
import { LargeMap } from '../large_map.js';
import { requireNewIds, requireSeveral } from './id_table.js';

/**
 * Ids for the labels of a FAISS index. Labels count up and are never given twice, and a label that is removed keeps its
 * id until it is forgotten: a search that began before still finds it.
 */
export class LabelTable {
  readonly #ids = new LargeMap<number, string>();
  readonly #labels = new LargeMap<string, number>();
  #next = 0;

  /** The labels of a loaded index, each with its id. Throws INVALID_ARGUMENT for one that comes twice. */
  static of(entries: Iterable<readonly [label: number, id: string]>): LabelTable {
    const table = new LabelTable();
    for (const [label, id] of entries) {
      if (table.#ids.has(label)) throw invalidArgument('labels', 'each label once', label);
      if (table.#labels.has(id)) throw invalidArgument('ids', 'each id once', id);
      table.#put(label, id);
    }
    return table;
  }

  get size(): number {
    return this.#labels.size;
  }

  /** Of the vectors in the index, in order of arrival. */
  get ids(): string[] {
    return Array.from(this.#labels, ([id]) => id);
  }

  /** Pairs of label and id, likewise. */
  *entries(): Generator<[label: number, id: string]> {
    for (const [id, label] of this.#labels) yield [label, id];
  }

  /** A label without an id of its own stands for itself. */
  idOf(label: number): string {
    return this.#ids.get(label) ?? String(label);
  }

  /** New labels, named by these ids or by themselves. Throws INVALID_ARGUMENT. */
  add(count: number, ids?: readonly string[]): Float64Array {
    const labels = Float64Array.from({ length: count }, (_, i) => this.#next + i);
    const added = ids ?? Array.from(labels, String);
    if (added.length !== count)
      throw invalidArgument('ids', `one id for each of ${count} vectors`, added.length);
    requireNewIds(added, this.#labels);
    for (const [i, id] of added.entries()) this.#put(labels[i]!, id);
    return labels;
  }

  /** Each once. Throws INVALID_ARGUMENT for an unknown id. */
  labelsOf(ids: Iterable<string>): Float64Array {
    requireSeveral(ids);
    const labels: number[] = [];
    for (const id of ids) {
      const label = this.#labels.get(id);
      if (label === undefined) throw invalidArgument('ids', 'ids that are in the index', id);
      labels.push(label);
    }
    return Float64Array.from(labels)
      .sort()
      .filter((label, i, sorted) => label !== sorted[i - 1]);
  }

  remove(labels: Float64Array): void {
    for (const label of labels) this.#labels.delete(this.idOf(label));
  }

  /** Ends `remove`: no search finds these labels any more. */
  forget(labels: Float64Array): void {
    for (const label of labels) this.#ids.delete(label);
  }

  /** Undoes `remove`; false where an id names another vector by now. */
  restore(labels: Float64Array): boolean {
    const free = labels.filter((label) => !this.#labels.has(this.idOf(label)));
    for (const label of free) this.#labels.set(this.idOf(label), label);
    return free.length === labels.length;
  }

  #put(label: number, id: string): void {
    this.#ids.set(label, id);
    this.#labels.set(id, label);
    this.#next = Math.max(this.#next, label + 1);
  }
}
