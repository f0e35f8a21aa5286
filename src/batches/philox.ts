/**
 * Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as
 * easy as 1, 2, 3" (SC 2011); the one behind cuRAND and PyTorch's CUDA generator. A block of random words is
 * a function of (key, counter), so batch n needs no state from batch n - 1. Integer arithmetic only.
 */
const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
const WEYL_0 = 0x9e3779b9;
const WEYL_1 = 0xbb67ae85;
const ROUNDS = 10;
const TWO_32 = 2 ** 32;

/** High 32 bits of the product of two unsigned 32-bit integers, from products of at most 2^48. */
function multiplyHigh(a: number, b: number): number {
  const high = a >>> 16;
  const middle = high * (b & 0xffff) + Math.floor(((a & 0xffff) * (b & 0xffff)) / 0x10000);
  const carried = (middle % 0x10000) + (a & 0xffff) * (b >>> 16);
  return (high * (b >>> 16) + Math.floor(middle / 0x10000) + Math.floor(carried / 0x10000)) >>> 0;
}

/** Four random words into `out`, from a counter of four words and a key of two (all unsigned 32-bit). */
export function philox(counter: Uint32Array, key: readonly [number, number], out: Uint32Array): void {
  let [c0, c1, c2, c3] = [counter[0]!, counter[1]!, counter[2]!, counter[3]!];
  let [k0, k1] = key;
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, c0);
    const low0 = Math.imul(MULTIPLIER_0, c0) >>> 0;
    const high1 = multiplyHigh(MULTIPLIER_1, c2);
    const low1 = Math.imul(MULTIPLIER_1, c2) >>> 0;
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0;
    k0 = (k0 + WEYL_0) >>> 0;
    k1 = (k1 + WEYL_1) >>> 0;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

const split = (value: number): [number, number] => [value % TWO_32, Math.floor(value / TWO_32)];

/**
 * The random words of batch n under a seed, both integers from 0 to 2^53 - 1. A batch has 2^32 streams that share no
 * word within their first 2^34.
 */
export class RandomStream {
  readonly #key: readonly [number, number];
  readonly #counter: Uint32Array;
  readonly #block = new Uint32Array(4);
  #next = 4;

  constructor(seed: number, n: number, stream = 0) {
    this.#key = split(seed);
    this.#counter = Uint32Array.of(0, stream, ...split(n));
  }

  /** Uniform over 0 .. 2^32 - 1. */
  nextUint32(): number {
    if (this.#next === 4) {
      philox(this.#counter, this.#key, this.#block);
      this.#counter[0]!++;
      if (this.#counter[0] === 0) this.#counter[1]!++;
      this.#next = 0;
    }
    return this.#block[this.#next++]!;
  }

  /** Uniform over 0 .. bound - 1, exactly: words past the last whole multiple of bound are drawn again. */
  below(bound: number): number {
    const wide = bound > TWO_32;
    const range = wide ? 2 ** 53 : TWO_32;
    const limit = range - (range % bound);
    for (;;) {
      const low = this.nextUint32();
      const value = wide ? (this.nextUint32() >>> 11) * TWO_32 + low : low;
      if (value < limit) return value % bound;
    }
  }
}
