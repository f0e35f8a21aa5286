/** How often a cell is drawn, given how many records it holds. */
export type LanguageWeights = 'equal' | 'proportional' | { temperature: number };

const FRACTION_BITS = 40;

/** Base-2 logarithm of x >= 1, bit by bit: squaring doubles the logarithm. */
function log2(x: number): number {
  let integer = 0;
  while (x >= 2 ** (integer + 1)) integer++;
  let mantissa = x / 2 ** integer;
  let fraction = 0;
  for (let bit = 1; bit <= FRACTION_BITS; bit++) {
    mantissa *= mantissa;
    if (mantissa >= 2) {
      mantissa /= 2;
      fraction += 2 ** -bit;
    }
  }
  return integer + fraction;
}

/** 2^x for x <= 0, bit by bit: each further bit of the fraction is worth the root of the one before. */
function exp2(x: number): number {
  const integer = Math.floor(x);
  let rest = x - integer;
  let root = 2;
  let result = 1;
  for (let bit = 1; bit <= FRACTION_BITS; bit++) {
    root = Math.sqrt(root);
    rest *= 2;
    if (rest >= 1) {
      rest -= 1;
      result *= root;
    }
  }
  return result * 2 ** Math.max(integer, -1074);
}

/**
 * (count / largest)^(1 / temperature) with + - * / and square root alone: IEEE 754 rounds those the same way
 * on every machine, while Math.pow may differ in its last bit, and with it the batches of a whole run.
 */
export function temperedRatio(count: number, largest: number, temperature: number): number {
  return exp2((log2(count) - log2(largest)) / temperature);
}

/** Integer weights, one for each count >= 1; a tempered weight is in units of 2^-32 of the largest one. */
export function cellWeights(counts: readonly number[], scheme: LanguageWeights): number[] {
  if (scheme === 'equal') return counts.map(() => 1);
  if (scheme === 'proportional') return [...counts];
  const largest = counts.reduce((a, b) => Math.max(a, b), 1);
  return counts.map((count) =>
    Math.max(1, Math.round(temperedRatio(count, largest, scheme.temperature) * 2 ** 32)),
  );
}
