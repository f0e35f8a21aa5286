import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareResults, questionScores, type Setting } from '#xlembed/evaluation/compare.js';
import { comparisonRows } from '#xlembed/evaluation/comparison_table.js';
import type { EmbeddedTexts } from '#xlembed/evaluation/embedded_texts.js';
import { evaluateGrid } from '#xlembed/evaluation/grid.js';
import { ndcg } from '#xlembed/evaluation/measures/ndcg.js';
import { precision } from '#xlembed/evaluation/measures/precision.js';
import { BruteForceIndex } from './brute_force_index.js';
import { problem } from './random_problem.js';

const options = {
  createIndex: (dimensions: number) => new BruteForceIndex(dimensions),
  keepQueryScores: true,
};
const average = (values: Iterable<number>) => {
  const list = [...values];
  return list.reduce((sum, value) => sum + value, 0) / list.length;
};

test('question scores average to the macro-average, also where cells hold different questions', async () => {
  const result = await evaluateGrid(problem(1), options);
  for (const setting of ['monolingual', 'cross_lingual', 'multilingual'] as Setting[]) {
    for (const [name, key] of [
      ['AP', 'map'],
      ['R@1', 'recall_at_1'],
    ] as const) {
      const scores = questionScores(result, setting, name);
      assert.equal(scores.size, 12);
      assert.ok(Math.abs(average(scores.values()) - result.measures[`${setting}_${key}`]!) < 1e-12);
    }
  }
});

test('a comparison holds both averages, the interval and the test of their difference', async () => {
  const input = problem(1);
  const { qrels, languages } = problem(2);
  const a = await evaluateGrid(input, options);
  const b = await evaluateGrid(
    {
      ...input,
      languages: languages.map((other, i) => ({ ...input.languages[i]!, queries: other.queries })),
    },
    options,
  );
  assert.equal(qrels.size, input.qrels.size);
  const comparison = compareResults(a, b, { setting: 'cross_lingual', measure: 'AP' });
  assert.ok(Math.abs(comparison.a - a.measures.cross_lingual_map!) < 1e-12);
  assert.ok(Math.abs(comparison.b - b.measures.cross_lingual_map!) < 1e-12);
  assert.ok(Math.abs(comparison.test.difference - (comparison.a - comparison.b)) < 1e-12);
  assert.ok(
    comparison.interval.low < comparison.interval.mean && comparison.interval.mean < comparison.interval.high,
  );
  assert.equal(comparison.test.exact, true);
});

test('questions are paired by their ids, in whatever order each result has them', async () => {
  const backwards = ({ ids, embeddings }: EmbeddedTexts): EmbeddedTexts => ({
    ids: [...ids].reverse(),
    embeddings: Float32Array.from(
      [...ids.keys()].reverse().flatMap((row) => [...embeddings.subarray(4 * row, 4 * row + 4)]),
    ),
  });
  const input = problem(2);
  const languages = input.languages.map((each) => ({ ...each, queries: backwards(each.queries) }));
  const [result, reversed] = [
    await evaluateGrid(input, options),
    await evaluateGrid({ ...input, languages }, options),
  ];
  for (const setting of ['monolingual', 'cross_lingual', 'multilingual'] as Setting[]) {
    const { test: permutation, interval } = compareResults(result, reversed, { setting, measure: 'AP' });
    assert.deepEqual([permutation.pValue, interval.low, interval.high], [1, 0, 0]);
  }
});

test('a result compared with itself differs by nothing', async () => {
  const a = await evaluateGrid(problem(3), options);
  const { interval, test: permutation } = compareResults(a, a, {
    setting: 'multilingual',
    measure: 'nDCG@10',
  });
  assert.deepEqual(interval, { mean: 0, low: 0, high: 0 });
  assert.equal(permutation.pValue, 1);
});

test('results that cannot be compared are refused with the remedy', async () => {
  const a = await evaluateGrid(problem(1), options);
  const bare = await evaluateGrid(problem(1), { ...options, keepQueryScores: false });
  const input = problem(1);
  const fewer = await evaluateGrid({ ...input, qrels: new Map([...input.qrels].slice(1)) }, options);
  const alone = await evaluateGrid({ ...input, languages: input.languages.slice(0, 1) }, options);
  const map = { setting: 'monolingual', measure: 'AP' } as const;
  assert.throws(() => compareResults(a, bare, map), { code: 'INVALID_ARGUMENT', hint: /keepQueryScores/ });
  assert.throws(
    () => compareResults(a, fewer, map),
    /same queries, received 12 and 11 queries, 11 of them shared/,
  );
  assert.throws(() => compareResults(a, a, { ...map, measure: 'AP@3' }), /one of AP, RR/);
  assert.throws(() => compareResults(alone, alone, { ...map, setting: 'cross_lingual' }), /cross_lingual/);
});

test('results over other languages are refused, whatever the questions', async () => {
  const input = problem(1);
  const all = await evaluateGrid(input, options);
  const some = await evaluateGrid({ ...input, languages: input.languages.slice(0, 2) }, options);
  const [first, second, third] = input.languages.map(({ language }) => language);
  for (const compare of [
    () => compareResults(all, some, { setting: 'monolingual', measure: 'AP' }),
    () => comparisonRows([all, some], { resamples: 10, permutations: 10 }),
  ]) {
    assert.throws(compare, {
      code: 'INVALID_ARGUMENT',
      message: new RegExp(`one of them alone: ${third}-${third}`),
      hint: /--languages/,
    });
  }
  assert.throws(
    () => compareResults(all, some, { setting: 'cross_lingual', measure: 'AP' }),
    new RegExp(`alone: .*${first}-${third}.*${third}-${second}`),
  );
  assert.throws(
    () => compareResults(some, all, { setting: 'multilingual', measure: 'AP' }),
    new RegExp(`alone: ${third}$`),
  );
});

test('a comparison has a row for every measure that was chosen', async () => {
  const result = await evaluateGrid(problem(1), { ...options, measures: [precision(5), ndcg(3)] });
  const rows = comparisonRows([result, { ...result }], { resamples: 10, permutations: 10 });
  assert.deepEqual(
    rows.map(({ setting, measure }) => `${setting} ${measure}`),
    ['monolingual', 'cross_lingual', 'multilingual'].flatMap((setting) => [
      `${setting} P@5`,
      `${setting} nDCG@3`,
    ]),
  );
  assert.equal(rows[0]!.models[1]!.against!.test.pValue, 1);
});

test('a table sets every model but the first against the first: its score minus that one', async () => {
  const [first, second] = await Promise.all(
    [problem(1), problem(2)].map(({ languages }) =>
      evaluateGrid(
        {
          ...problem(1),
          languages: problem(1).languages.map((own, i) => ({ ...own, queries: languages[i]!.queries })),
        },
        options,
      ),
    ),
  );
  const rows = comparisonRows([first!, second!, first!], { resamples: 10, permutations: 10 });
  for (const { setting, measure, models } of rows) {
    const [a, b] = [first!, second!].map((result) =>
      average(questionScores(result, setting, measure).values()),
    );
    assert.deepEqual(
      models.map(({ against }) => against !== undefined),
      [false, true, false],
    );
    const { value, interval, against } = models[1]!;
    assert.ok(Math.abs(value! - b!) < 1e-12 && Math.abs(interval!.mean - b!) < 1e-12);
    assert.ok(Math.abs(against!.test.difference - (b! - a!)) < 1e-12);
    assert.ok(Math.abs(against!.interval.mean - (b! - a!)) < 1e-12);
  }
});
