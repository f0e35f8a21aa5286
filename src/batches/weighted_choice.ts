/**
 * Draws an item with probability weight / total, and removes items, both in O(log items): a Fenwick tree
 * (binary indexed tree) over integer weights. Sums below 2^53 are exact in float64.
 */
export class WeightedChoice {
  /** 1-based: tree[i] is the sum of the weights of items (i - lowest set bit of i) .. i - 1. */
  readonly #tree: Float64Array;
  readonly #weights: Float64Array;
  #total: number;

  private constructor(tree: Float64Array, weights: Float64Array, total: number) {
    this.#tree = tree;
    this.#weights = weights;
    this.#total = total;
  }

  static of(weights: readonly number[]): WeightedChoice {
    const tree = new Float64Array(weights.length + 1);
    const choice = new WeightedChoice(tree, Float64Array.from(weights), 0);
    weights.forEach((weight, item) => {
      choice.#add(item, weight);
    });
    return choice;
  }

  copy(): WeightedChoice {
    return new WeightedChoice(this.#tree.slice(), this.#weights.slice(), this.#total);
  }

  /** Sum of the weights of the items that are left. */
  get total(): number {
    return this.#total;
  }

  /** The item that owns `ticket`, an integer from 0 to total - 1, when every item owns `weight` tickets. */
  at(ticket: number): number {
    let before = 0;
    let rest = ticket;
    for (let step = 1 << (31 - Math.clz32(this.#weights.length)); step > 0; step >>= 1) {
      const next = before + step;
      if (next <= this.#weights.length && this.#tree[next]! <= rest) {
        before = next;
        rest -= this.#tree[next]!;
      }
    }
    return before;
  }

  remove(item: number): void {
    this.#add(item, -this.#weights[item]!);
    this.#weights[item] = 0;
  }

  #add(item: number, weight: number): void {
    this.#total += weight;
    for (let i = item + 1; i < this.#tree.length; i += i & -i) this.#tree[i]! += weight;
  }
}
