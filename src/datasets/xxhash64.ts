const STRIPE_BYTES = 32;
const [P1, P2, P3, P4, P5] = [
  ...[0x9e3779b185ebca87n, 0xc2b2ae3d27d4eb4fn, 0x165667b19e3779f9n],
  ...[0x85ebca77c2b2ae63n, 0x27d4eb2f165667c5n],
] as const;
const lowOf = (value: bigint) => Number(BigInt.asIntN(32, value));
const highOf = (value: bigint) => Number(BigInt.asIntN(32, value >> 32n));
const [P1_LOW, P1_HIGH, P2_LOW, P2_HIGH] = [lowOf(P1), highOf(P1), lowOf(P2), highOf(P2)];

/**
 * XXH64 with seed 0 of bytes that come in pieces (doc/xxhash_spec.md of github.com/Cyan4973/xxHash). Stripes are added
 * with numbers of 32 bits, two to a sum: with BigInt, which is clearer and ends it, reading would take several times as long.
 */
export class XxHash64 {
  /** Four sums, the low half of each before its high one. */
  readonly #sums = Int32Array.from([P1 + P2, P2, 0n, -P1].flatMap((sum) => [lowOf(sum), highOf(sum)]));
  #length = 0;
  /** What fills no stripe yet. */
  #rest: Uint8Array = new Uint8Array();

  update(bytes: Uint8Array): void {
    this.#length += bytes.length;
    const begun = this.#rest.length;
    const first = begun > 0 ? Math.min(STRIPE_BYTES - begun, bytes.length) : 0;
    if (begun > 0) {
      this.#rest = Buffer.concat([this.#rest, bytes.subarray(0, first)]);
      if (this.#rest.length < STRIPE_BYTES) return;
      addStripes(this.#sums, this.#rest);
    }
    const left = bytes.subarray(first);
    const whole = left.length - (left.length % STRIPE_BYTES);
    addStripes(this.#sums, left.subarray(0, whole));
    // A copy: the caller's bytes may be reused.
    this.#rest = left.slice(whole);
  }

  digest(): bigint {
    let hash = (this.#length < STRIPE_BYTES ? P5 : this.#joined()) + BigInt(this.#length);
    const rest = Buffer.from(this.#rest);
    let at = 0;
    for (; at + 8 <= rest.length; at += 8) {
      hash = wrapped(rotated(hash ^ round(0n, rest.readBigUInt64LE(at)), 27n) * P1 + P4);
    }
    if (at + 4 <= rest.length) {
      hash = wrapped(rotated(wrapped(hash) ^ wrapped(BigInt(rest.readUInt32LE(at)) * P1), 23n) * P2 + P3);
      at += 4;
    }
    for (const byte of rest.subarray(at)) {
      hash = wrapped(rotated(wrapped(hash) ^ wrapped(BigInt(byte) * P5), 11n) * P1);
    }
    hash = wrapped(hash);
    hash = wrapped((hash ^ (hash >> 33n)) * P2);
    hash = wrapped((hash ^ (hash >> 29n)) * P3);
    return hash ^ (hash >> 32n);
  }

  #joined(): bigint {
    const sums = [0, 2, 4, 6].map(
      (half) =>
        (BigInt.asUintN(32, BigInt(this.#sums[half + 1]!)) << 32n) |
        BigInt.asUintN(32, BigInt(this.#sums[half]!)),
    );
    const [a, b, c, d] = sums as [bigint, bigint, bigint, bigint];
    const hash = wrapped(rotated(a, 1n) + rotated(b, 7n) + rotated(c, 12n) + rotated(d, 18n));
    return sums.reduce((joined, sum) => wrapped((joined ^ round(0n, sum)) * P1 + P4), hash);
  }
}

const wrapped = (value: bigint) => BigInt.asUintN(64, value);

function rotated(value: bigint, bits: bigint): bigint {
  const whole = wrapped(value);
  return wrapped(whole << bits) | (whole >> (64n - bits));
}

function round(sum: bigint, lane: bigint): bigint {
  return wrapped(rotated(sum + lane * P2, 31n) * P1);
}

/** `round` for each lane of 8 bytes. */
function addStripes(sums: Int32Array, bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at < bytes.length; at += 8) {
    const half = (at >> 2) & 6;
    const low = multiply(view.getInt32(at, true), view.getInt32(at + 4, true), P2_LOW, P2_HIGH);
    const sumLow = (sums[half]! + low) | 0;
    const carry = sumLow >>> 0 < low >>> 0 ? 1 : 0;
    const sumHigh = (sums[half + 1]! + high + carry) | 0;
    sums[half] = multiply(
      (sumLow << 31) | (sumHigh >>> 1),
      (sumHigh << 31) | (sumLow >>> 1),
      P1_LOW,
      P1_HIGH,
    );
    sums[half + 1] = high;
  }
}

/** The high half of the last product. */
let high = 0;

/** The low half of a product modulo 2^64. */
function multiply(aLow: number, aHigh: number, bLow: number, bHigh: number): number {
  const [a0, a1, b0, b1] = [aLow & 0xffff, aLow >>> 16, bLow & 0xffff, bLow >>> 16];
  const inner = Math.imul(a0, b0);
  const cross = Math.imul(a1, b0);
  const middle = Math.imul(a0, b1);
  const carried = (inner >>> 16) + (cross & 0xffff) + (middle & 0xffff);
  high =
    (Math.imul(a1, b1) +
      (cross >>> 16) +
      (middle >>> 16) +
      (carried >>> 16) +
      Math.imul(aLow, bHigh) +
      Math.imul(aHigh, bLow)) |
    0;
  return (inner & 0xffff) | (carried << 16);
}
