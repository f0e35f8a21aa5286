import { type Cell, holds, type Presence } from './cells.js';
import type { RandomStream } from './philox.js';
import type { PairChoice } from './plan.js';
import type { SharedTexts } from './shared_texts.js';
import { Shuffle } from './shuffle.js';
import type { WeightedChoice } from './weighted_choice.js';

/** Cells that one batch may draw from, with their weights. */
export interface CellGroup {
  cells: readonly Cell[];
  /** Integers, one for each cell. */
  weights: readonly number[];
  choice: WeightedChoice;
  /** Records that at least one of the cells holds. */
  reachable: number;
}

/**
 * Draws a cell for each pair, then one of its open records; a cell without any leaves the draw. The batch is
 * short only when every cell is used up.
 */
export function fillBatch(
  group: CellGroup,
  presence: Presence,
  shared: SharedTexts,
  random: RandomStream,
  batchSize: number,
): PairChoice[] {
  const choice = group.choice.copy();
  const open = new OpenRecords(presence, shared, random);
  const shuffles: (Shuffle | undefined)[] = [];
  const pairs: PairChoice[] = [];
  while (pairs.length < batchSize && choice.total > 0 && open.closed < group.reachable) {
    const drawn = choice.at(random.below(choice.total));
    const cell = group.cells[drawn]!;
    shuffles[drawn] ??= new Shuffle(cell.listed?.length ?? cell.range.end - cell.range.first);
    const record = open.take(cell, shuffles[drawn]);
    if (record < 0) choice.remove(drawn);
    else pairs.push(pairOf(presence.languages, cell, record));
  }
  return pairs;
}

function pairOf(languages: readonly string[], { query, positive }: Cell, record: number): PairChoice {
  return { record, queryLanguage: languages[query]!, positiveLanguage: languages[positive]! };
}

/**
 * Which records may still come into a batch. Closed are those taken, and those found to conflict with one
 * taken. A closed record never opens again, so a cell's shuffle goes forward only, and every scan ends.
 */
class OpenRecords {
  readonly #presence: Presence;
  readonly #shared: SharedTexts;
  readonly #random: RandomStream;
  readonly #closed = new Set<number>();
  /** What no further record may have. */
  readonly #texts = new Set<number>();

  constructor(presence: Presence, shared: SharedTexts, random: RandomStream) {
    this.#presence = presence;
    this.#shared = shared;
    this.#random = random;
  }

  /** Number of records known to be closed. */
  get closed(): number {
    return this.#closed.size;
  }

  /** A record of the cell, uniform over its open ones, or -1 when none is left. */
  take(cell: Cell, shuffle: Shuffle): number {
    for (;;) {
      const position = shuffle.next(this.#random);
      if (position < 0) return -1;
      const record = cell.listed ? cell.listed[position]! : cell.range.first + position;
      if ((cell.listed || holds(this.#presence, cell, record)) && this.#close(record)) return record;
    }
  }

  /** Closes an open record. True if it conflicts with none of the batch; from now on it is there. */
  #close(record: number): boolean {
    if (this.#closed.has(record)) return false;
    this.#closed.add(record);
    const texts = this.#shared.of(record);
    for (const text of texts) if (this.#texts.has(text)) return false;
    for (const text of texts) {
      this.#texts.add(text);
      this.#shared.across(text, (other) => this.#texts.add(other));
    }
    return true;
  }
}
