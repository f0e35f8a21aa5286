import assert from 'node:assert/strict';
import { test } from 'node:test';
import { XlembedError } from '#xlembed/errors.js';
import { bootstrapInterval, pairedPermutationTest } from '#xlembed/evaluation/statistics.js';

const near = (actual: number, expected: number, tolerance: number) =>
  assert.ok(Math.abs(actual - expected) <= tolerance, `${actual}, not ${expected}`);

const a = [0.5, 1, 0.25, 0.333, 1, 0.1, 0.75, 0.2, 0.5, 0.9];
const b = [0.4, 1, 0.5, 0.2, 0.8, 0.1, 0.5, 0.25, 0.25, 0.6];
const longA = Array.from({ length: 60 }, (_, i) => ((i * 37) % 60) / 59);
const longB = Array.from({ length: 60 }, (_, i) => (((i * 53 + 11) % 60) / 59) * 0.8);

test('few pairs: the exact p of scipy.stats.permutation_test(permutation_type="samples")', () => {
  const result = pairedPermutationTest(a, b);
  assert.equal(result.exact, true);
  assert.equal(result.pValue, 144 / 1024);
  near(result.difference, 0.0933, 1e-12);
});

test('many pairs: a sampled p close to that of scipy with 400,000 permutations', () => {
  const result = pairedPermutationTest(longA, longB, { permutations: 40_000 });
  assert.equal(result.exact, false);
  near(result.difference, 0.1, 1e-12);
  near(result.pValue, 0.03428, 0.004);
});

test('p by hand: the one pair, two agreeing pairs, no difference', () => {
  assert.equal(pairedPermutationTest([1], [0]).pValue, 1);
  assert.equal(pairedPermutationTest([1, 1], [0, 0]).pValue, 2 / 4);
  assert.equal(pairedPermutationTest([1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]).pValue, 2 / 64);
  assert.equal(pairedPermutationTest(longA, longA).pValue, 1);
});

test('a sampled p is never 0 and does not depend on the order of the systems', () => {
  const ones = new Array(100).fill(1);
  const zeros = new Array(100).fill(0);
  assert.equal(pairedPermutationTest(ones, zeros, { permutations: 999 }).pValue, 1 / 1000);
  const forth = pairedPermutationTest(longA, longB, { permutations: 2000, seed: 7 });
  const back = pairedPermutationTest(longB, longA, { permutations: 2000, seed: 7 });
  assert.equal(forth.pValue, back.pValue);
});

test('the interval is that of scipy.stats.bootstrap(method="percentile") with 200,000 resamples', () => {
  const short = bootstrapInterval(a, { resamples: 50_000 });
  near(short.mean, 0.5533, 1e-12);
  near(short.low, 0.3583, 0.006);
  near(short.high, 0.755, 0.006);
  const difference = bootstrapInterval(
    longA.map((value, i) => value - longB[i]!),
    { resamples: 50_000 },
  );
  near(difference.low, 0.01017, 0.004);
  near(difference.high, 0.18983, 0.004);
});

test('the interval by hand: two values have three means, of which the outer ones come one time in four', () => {
  assert.deepEqual(bootstrapInterval([0, 1]), { mean: 0.5, low: 0, high: 1 });
  assert.deepEqual(bootstrapInterval([0, 1], { confidence: 0.4 }), { mean: 0.5, low: 0.5, high: 0.5 });
  assert.deepEqual(bootstrapInterval([0.25]), { mean: 0.25, low: 0.25, high: 0.25 });
});

test('between two means the interval ends where the line between them says, as numpy.quantile', () => {
  const [inner, outer] = [0.2, 0.6].map((confidence) =>
    bootstrapInterval(longA, { resamples: 2, confidence }),
  );
  assert.ok(inner!.low < inner!.high);
  near((outer!.high - outer!.low) / (inner!.high - inner!.low), 3, 1e-9);
  near(outer!.high + outer!.low, inner!.high + inner!.low, 1e-12);
});

test('an interval does not depend on those computed before it', () => {
  const counts = [10, 1000, 20];
  const intervals = counts.map((resamples) => bootstrapInterval(longB, { resamples, seed: 9 }));
  bootstrapInterval(a, { resamples: 20, seed: 9 });
  for (const [i, resamples] of counts.entries()) {
    assert.deepEqual(bootstrapInterval(longB, { resamples, seed: 9 }), intervals[i]);
    assert.ok(intervals[i]!.low < intervals[i]!.high);
  }
});

test('the seed decides', () => {
  assert.deepEqual(bootstrapInterval(longA, { seed: 3 }), bootstrapInterval(longA, { seed: 3 }));
  assert.notDeepEqual(bootstrapInterval(longA, { seed: 3 }), bootstrapInterval(longA, { seed: 4 }));
  const p = (seed: number) => pairedPermutationTest(longA, longB, { seed }).pValue;
  assert.equal(p(3), p(3));
  assert.notEqual(p(3), p(4));
});

test('what cannot be computed is refused', () => {
  const refused = (call: () => unknown, mention: string) =>
    assert.throws(call, (error) => {
      assert.ok(error instanceof XlembedError && error.code === 'INVALID_ARGUMENT');
      assert.ok(error.message.includes(mention), error.message);
      return true;
    });
  refused(() => bootstrapInterval([]), 'values');
  refused(() => bootstrapInterval([Number.NaN]), 'finite');
  refused(() => bootstrapInterval([1], { confidence: 1 }), 'confidence');
  refused(() => bootstrapInterval([1], { resamples: 0 }), 'resamples');
  refused(() => pairedPermutationTest([1, 2], [1]), 'second system');
  refused(() => pairedPermutationTest([], []), 'scores');
});
