import type { RandomStream } from './philox.js';

/**
 * The positions 0 .. size - 1 in random order, each once. A Fisher-Yates shuffle that stores only the
 * positions it has moved, so that the first k of a million cost O(k).
 */
export class Shuffle {
  readonly #moved = new Map<number, number>();
  readonly #size: number;
  #taken = 0;

  constructor(size: number) {
    this.#size = size;
  }

  /** The next position, or -1 when all have been given. */
  next(random: RandomStream): number {
    if (this.#taken === this.#size) return -1;
    const from = this.#taken + random.below(this.#size - this.#taken);
    const position = this.#moved.get(from) ?? from;
    if (from !== this.#taken) this.#moved.set(from, this.#moved.get(this.#taken) ?? this.#taken);
    this.#taken++;
    return position;
  }
}
