import assert from 'node:assert/strict';
import { test } from 'node:test';
import { evaluateGrid } from '#xlembed/evaluation/grid.js';
import { BruteForceIndex } from './brute_force_index.js';
import { problem } from './random_problem.js';

test('the native index, which is the default, gives the ranks of brute force, ties included', async () => {
  for (const seed of [11, 12, 13, 14]) {
    const native = await evaluateGrid(problem(seed), { similarity: 'dot', keepQueryScores: true });
    const expected = await evaluateGrid(problem(seed), {
      createIndex: (dimensions) => new BruteForceIndex(dimensions),
      similarity: 'dot',
      keepQueryScores: true,
    });
    assert.deepEqual(native, expected);
  }
});
