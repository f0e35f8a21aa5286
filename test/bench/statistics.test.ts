import assert from 'node:assert/strict';
import { test } from 'node:test';
import { repeatRounds } from '#xlembed/cli/bench/benchmark_js.js';
import { inputSets, kernelPlan } from '#xlembed/cli/bench/cases.js';
import { median, medianDeviation } from '#xlembed/cli/bench/statistics.js';

test('median and the median deviation from it', () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
  assert.equal(medianDeviation([1, 2, 3, 4, 100]), 1);
});

test('rounds are repeated one after another, at least as often as asked', async () => {
  let running = 0;
  let rounds = 0;
  const round = async () => {
    running += 1;
    assert.equal(running, 1);
    await new Promise((resolve) => setTimeout(resolve, 2));
    rounds += 1;
    running -= 1;
  };
  const margin = await repeatRounds('waiting', round, { minimumRounds: 7, seconds: 0.01 });
  assert.ok(rounds >= 7, String(rounds));
  assert.ok(margin >= 0 && margin < 10, String(margin));
});

test('a round that fails ends the measurement with its error', async () => {
  const failure = new Error('no memory');
  let rounds = 0;
  const round = async () => {
    rounds += 1;
    if (rounds === 3) throw failure;
  };
  await assert.rejects(repeatRounds('failing', round, { minimumRounds: 9, seconds: 1 }), failure);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(rounds, 3);
});

test('small inputs are rotated over more memory than a cache holds, large ones are not copied', () => {
  const rows = (count: number) => ({
    op: 'normalize',
    dtype: 'float32' as const,
    shape: { rows: count, dimensions: 256 },
  });
  assert.equal(inputSets(rows(1024), 8 * 2 ** 20), 8);
  assert.equal(inputSets(rows(1 << 20), 8 * 2 ** 20), 1);
  assert.equal(inputSets({ ...rows(1024), op: 'top_k' }, 8 * 2 ** 20), 1);
});

test('every plan measures the machine before the kernels', () => {
  for (const [device, quick] of [
    ['cpu', true],
    ['cpu', false],
    ['cuda', false],
  ] as const) {
    const { bounds, cases } = kernelPlan(device, quick);
    assert.deepEqual(
      bounds.map(({ op, dtype }) => `${op} ${dtype}`),
      ['copy float32', 'read float32', 'matmul float32', 'matmul bfloat16'],
    );
    assert.equal(new Set(cases.map((one) => JSON.stringify(one))).size, cases.length);
  }
});
