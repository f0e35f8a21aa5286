import assert from 'node:assert/strict';
import { test } from 'node:test';
import { repeatRounds } from '#xlembed/cli/bench/benchmark_js.js';
import { chosenCases, inputSets, kernelPlan } from '#xlembed/cli/bench/cases.js';
import { mergeResults } from '#xlembed/cli/bench/merge.js';
import { median, medianDeviation } from '#xlembed/cli/bench/statistics.js';
import type { BenchmarkResults, CaseResult } from '#xlembed/report/benchmark_results.js';
import { coded } from '../search/coded.js';

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

test('ops and sizes choose cases; a long one is measured only when it is meant', () => {
  const plan = kernelPlan('cpu', false);
  const all = chosenCases(plan, [], {});
  assert.equal(all.length, plan.cases.filter(({ long }) => !long).length);
  const some = chosenCases(plan, ['top_k', 'info_nce'], { dimensions: 768, k: 100 });
  assert.deepEqual([...new Set(some.map(({ op, shape }) => `${op} ${shape.rows}`))], ['top_k 1000000']);
  assert.ok(chosenCases(plan, ['info_nce'], { dimensions: 384 }).every(({ long }) => !long));
  const long = chosenCases(plan, [], { pairs: 131_072 });
  assert.deepEqual(
    long.map(({ op, shape }) => [op, shape.dimensions]),
    [['info_nce', 384]],
  );
  const resized = chosenCases(plan, ['normalize', 'top_k'], { rows: 200 });
  assert.deepEqual(
    resized.map(({ op, dtype, shape }) => `${op} ${dtype} ${shape.rows} ${shape.dimensions}`),
    ['normalize float32 200 768', 'normalize bfloat16 200 768', 'top_k float32 200 384'],
  );
  assert.throws(() => chosenCases(plan, ['top_k'], { pairs: 7 }), coded('INVALID_ARGUMENT', /pairs=7/));
  assert.throws(() => chosenCases(plan, [], { rows: 7 }), coded('INVALID_ARGUMENT', /rows=7/));
});

const resultOf = (rows: number, seconds: number): CaseResult => ({
  ...{ op: 'normalize', dtype: 'float32', shape: { rows, dimensions: 8 }, rounds: 7, roundMargin: 0 },
  implementations: [
    {
      ...{
        name: 'xlembed',
        kind: 'xlembed',
        seconds,
        deviation: 0,
        fastest: seconds,
        bytes: 1,
        operations: 1,
      },
      ...{ arithmetic: 'float32', boundSeconds: 1, boundBy: 'bytes', difference: 0, ratios: [] },
    },
  ],
});

const runOf = (command: string, cases: CaseResult[], copy: number): BenchmarkResults => ({
  ...{ createdAt: '', command, machine: 'processor', device: 'cpu', threads: 2, quick: false },
  ...{ loadBefore: copy, loadAfter: 0, versions: { [command]: '1' }, cases },
  bounds: {
    ...{ copyBytesPerSecond: copy, readBytesPerSecond: 10 - copy },
    ...{ float32OperationsPerSecond: 1, bfloat16OperationsPerSecond: 1 },
  },
  failures: copy === 1 ? [{ case: 'normalize float32, rows 3, dimensions 8', error: 'OUT_OF_MEMORY' }] : [],
});

test('results of one machine are put together: the later of each case, the most that it reached', () => {
  const earlier = runOf('a', [resultOf(1, 5), resultOf(2, 5)], 1);
  const merged = mergeResults(earlier, runOf('b', [resultOf(2, 4), resultOf(3, 4)], 2));
  assert.deepEqual(
    merged.cases.map(({ shape, implementations }) => [shape.rows, implementations[0]!.seconds]),
    [
      [1, 5],
      [2, 4],
      [3, 4],
    ],
  );
  assert.deepEqual(merged.failures, []);
  assert.equal(merged.command, 'a\nb');
  assert.equal(merged.loadBefore, 2);
  assert.deepEqual(Object.keys(merged.versions), ['a', 'b']);
  assert.deepEqual([merged.bounds.copyBytesPerSecond, merged.bounds.readBytesPerSecond], [2, 9]);
  const other = { ...earlier, threads: 4 };
  assert.throws(() => mergeResults(earlier, other), coded('INVALID_ARGUMENT', /threads 2/));
  // Cases that name their threads may stand beside those of others.
  const named = (threads: number) => {
    const one = resultOf(threads, 1);
    const cases = [{ ...one, shape: { ...one.shape, threads } }];
    return { ...runOf('a', cases, 1), threads };
  };
  assert.equal(mergeResults(named(2), named(4)).cases.length, 2);
  assert.equal(mergeResults(named(4), named(2)).threads, 4);
});
