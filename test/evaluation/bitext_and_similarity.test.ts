import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { evaluationText } from '#xlembed/cli/evaluation_text.js';
import { bitextScores } from '#xlembed/evaluation/bitext_scores.js';
import { pearson, spearman } from '#xlembed/evaluation/correlation.js';
import { hashOf } from '#xlembed/evaluation/embedding_cache.js';
import type { Embed } from '#xlembed/evaluation/evaluate.js';
import { evaluateBitext } from '#xlembed/evaluation/evaluate_bitext.js';
import { evaluateTask, type TaskOptions } from '#xlembed/evaluation/evaluate_task.js';
import type { BitextPair, BitextTask, SimilarityTask } from '#xlembed/evaluation/tasks/task.js';
import { packageVersion } from '#xlembed/native.js';
import { BruteForceIndex } from './brute_force_index.js';

const golden = JSON.parse(readFileSync('test/reference/bitext_and_similarity.json', 'utf8')) as {
  dimensions: number;
  source: number[];
  target: number[];
  forward: Record<string, number>;
  backward: Record<string, number>;
  grades: number[];
  similarities: number[];
  spearman: number;
  pearson: number;
};
const { dimensions } = golden;
const count = golden.source.length / dimensions;
const ids = Array.from({ length: count }, (_, i) => String(i));
const sides: Record<string, number[]> = { source: golden.source, target: golden.target };

/** A text is `<side> <row>`; its embedding is that row. */
const embedRow: Embed = async (texts, role) => {
  assert.equal(role, undefined, 'sentences have no role');
  const data = texts.flatMap((text) => {
    const [side, row] = text.split(' ');
    return sides[side!]!.slice(Number(row) * dimensions, (Number(row) + 1) * dimensions);
  });
  return { data: Float32Array.from(data), rows: texts.length, dimensions };
};

const texts = (side: string) => ids.map((id) => `${side} ${id}`);
const pair: BitextPair = {
  source: 'de',
  target: 'en',
  read: async () => ({ ids, source: texts('source'), target: texts('target') }),
};
const task: BitextTask = { kind: 'bitext', name: 'small', languages: ['de', 'en'], pairs: [pair] };

const near = (actual: number, expected: number) =>
  assert.ok(Math.abs(actual - expected) <= 1e-9, `${actual}, not ${expected}`);

test('both directions of a pair score as scikit-learn, mteb and LASER score them', async () => {
  for (const createIndex of [undefined, (D: number) => new BruteForceIndex(D)]) {
    const { grid, measures } = await evaluateBitext(task, embedRow, { createIndex, keepQueryScores: true });
    assert.deepEqual(
      grid.map(({ queryLanguage, passageLanguage }) => `${queryLanguage}-${passageLanguage}`),
      ['de-en', 'en-de'],
    );
    for (const [cell, expected] of [
      [grid[0]!, golden.forward],
      [grid[1]!, golden.backward],
    ] as const) {
      for (const [name, value] of Object.entries(expected)) near(cell.measures[name]!, value);
      const { scores } = cell.queryScores!;
      near(scores.Accuracy!.reduce((sum, one) => sum + one) / count, expected.Accuracy!);
    }
    near(measures.cross_lingual_f1!, (golden.forward.F1! + golden.backward.F1!) / 2);
  }
});

test('margins change what is found here, so that they are put to the test', () => {
  assert.notEqual(golden.backward.Accuracy, golden.backward.MarginAccuracy);
  assert.notEqual(golden.forward.F1, golden.forward.Accuracy);
});

test('a pivot restricts the pairs, unless all are asked for; languages restrict them always', async () => {
  const languages = ['de', 'en', 'fr'];
  const pairs = [
    ['de', 'en'],
    ['de', 'fr'],
    ['en', 'fr'],
  ].map(([source, target]) => ({ ...pair, source: source!, target: target! }));
  const parallel: BitextTask = { kind: 'bitext', name: 'three', languages, pairs, pivot: 'en' };
  const measured = async (options: object) =>
    (await evaluateTask(parallel, embedRow, options)).grid.map(
      ({ queryLanguage, passageLanguage }) => `${queryLanguage}-${passageLanguage}`,
    );
  assert.deepEqual(await measured({}), ['de-en', 'en-de', 'en-fr', 'fr-en']);
  assert.equal((await measured({ allPairs: true })).length, 6);
  assert.deepEqual(await measured({ languages: ['de', 'fr'] }), ['de-fr', 'fr-de']);
  await assert.rejects(measured({ languages: ['de'] }), { code: 'INVALID_ARGUMENT' });
  await assert.rejects(measured({ languages: ['de', 'en', 'fra'] }), /languages of three: .*received "fra"/);
});

test('a second run with a cache embeds nothing and says the same, its plane of parallel texts included', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'xlembed-bitext-'));
  after(() => rmSync(folder, { recursive: true }));
  let embedded = 0;
  const counting: Embed = (texts, role) => {
    embedded += texts.length;
    return embedRow(texts, role);
  };
  const run = () => evaluateTask(task, counting, { cache: { folder, identity: 'model' } });
  const first = await run();
  const before = embedded;
  assert.equal(first.projection!.points.length, 2 * 24);
  assert.deepEqual(await run(), first);
  assert.equal(embedded, before);
});

test('what another version has kept is not taken', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'xlembed-versions-'));
  after(() => rmSync(folder, { recursive: true }));
  const identity = 'model';
  const nameOf = (whose: unknown) => `${hashOf([whose, undefined, texts('source')])}.npy`;
  await evaluateTask(task, embedRow, { cache: { folder, identity } });
  const kept = readdirSync(join(folder, 'embeddings'));
  assert.ok(kept.includes(nameOf([packageVersion(), identity])));
  assert.ok(!kept.includes(nameOf(identity)));
});

test('a side that two pairs share is embedded once, and every pair scores as it does alone', async () => {
  const shifted = (rows: number) => [...texts('source').slice(rows), ...texts('source').slice(0, rows)];
  const pairOf = (source: string, first: string[], target: string, second: string[]): BitextPair => ({
    ...{ source, target },
    read: async () => ({ ids, source: first, target: second }),
  });
  const pairs = [
    pairOf('de', texts('source'), 'en', texts('target')),
    pairOf('en', texts('target'), 'fr', shifted(1)),
    pairOf('fr', shifted(1), 'it', shifted(7)),
  ];
  let embedded = 0;
  const counting: Embed = (some, role) => {
    embedded += some.length;
    return embedRow(some, role);
  };
  const { grid } = await evaluateBitext({ ...task, pairs }, counting);
  assert.equal(embedded, 4 * count + 4 * 24, 'four languages, and once more what is drawn');
  const alone = await Promise.all(pairs.map((each) => evaluateBitext({ ...task, pairs: [each] }, embedRow)));
  assert.deepEqual(
    grid,
    alone.flatMap((result) => result.grid),
  );
});

test('whatever a kept result depends on, a change of it gives the result of an evaluation without a cache', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'xlembed-changes-'));
  after(() => rmSync(folder, { recursive: true }));
  const cache = { folder, identity: 'model' };
  const reversed = {
    ...pair,
    read: async () => ({ ...(await pair.read()), target: texts('target').reverse() }),
  };
  const variants: [BitextTask | SimilarityTask, TaskOptions][] = [
    [task, {}],
    [task, { similarity: 'dot' }],
    [task, { keepQueryScores: true }],
    [{ ...task, pairs: [reversed] }, {}],
    [gradedBy(golden.grades), {}],
    [gradedBy([...golden.grades].reverse()), {}],
    [gradedBy(golden.grades, { second: texts('target').reverse() }), {}],
  ];
  const results = new Set<string>();
  for (const [changed, options] of variants) {
    const expected = await evaluateTask(changed, embedRow, options);
    assert.deepEqual(await evaluateTask(changed, embedRow, { ...options, cache }), expected);
    results.add(JSON.stringify(expected));
  }
  assert.equal(results.size, variants.length, 'every change shows');
});

test('of equal margins the nearest counts, of equally near ones the first', () => {
  const all = { k: 2, rows: Int32Array.of(0, 1, 0, 1), scores: new Float32Array(4).fill(0.5) };
  const { correct, correctByMargin, precision } = bitextScores(all, all);
  assert.deepEqual([correct, correctByMargin, precision], [[1, 0], [1, 0], 1 / 4]);
});

/** Grades of German texts beside others. */
const gradedBy = (grades: number[], { target = 'de', second = texts('target') } = {}): SimilarityTask => ({
  kind: 'similarity',
  name: 'sts',
  languages: [...new Set(['de', target])],
  sets: [{ source: 'de', target, read: async () => ({ first: texts('source'), second, grades }) }],
});

test('correlations are those of scipy, ties at their mean rank', () => {
  near(spearman(golden.similarities, golden.grades), golden.spearman);
  near(pearson(golden.similarities, golden.grades), golden.pearson);
  near(spearman([1, 2, 3], [10, 100, 1000]), 1);
  assert.ok(Number.isNaN(spearman([1, 1], [1, 2])));
});

test('pairs of equal texts have equal similarities, whatever rounding does to their lengths', async () => {
  const equal = gradedBy(
    ids.map((_, row) => (row < 40 ? 5 : 0)),
    { second: ids.map((id, row) => (row < 40 ? `source ${id}` : `target ${id}`)) },
  );
  const expected = spearman(
    ids.map((_, row) => (row < 40 ? 1 : -row)),
    ids.map((_, row) => (row < 40 ? 5 : 0)),
  );
  near((await evaluateTask(equal, embedRow)).grid[0]!.measures.Spearman!, expected);
});

test('a similarity task correlates cosines with grades', async () => {
  const cosines = ids.map((_, row) => {
    const [a, b] = [golden.source, golden.target].map((side) =>
      side.slice(row * dimensions, (row + 1) * dimensions),
    );
    const product = (x: number[], y: number[]) => x.reduce((sum, value, d) => sum + value * y[d]!, 0);
    return product(a!, b!) / Math.sqrt(product(a!, a!) * product(b!, b!));
  });
  const { grid, measures } = await evaluateTask(gradedBy(golden.grades, { target: 'en' }), embedRow);
  assert.ok(Math.abs(grid[0]!.measures.Spearman! - spearman(cosines, golden.grades)) < 1e-6);
  assert.equal(measures.cross_lingual_cosine_spearman, grid[0]!.measures.Spearman);
});

test('the texts of a similarity task are counted on each side in its language', async () => {
  const [across, within] = [gradedBy(golden.grades, { target: 'en' }), gradedBy(golden.grades)];
  const both = { ...across, sets: [...across.sets, ...within.sets] };
  const { counts } = await evaluateTask(both, embedRow);
  assert.deepEqual(counts, { queries: { de: 2 * count }, candidates: { en: count, de: count } });
});

test('a correlation that is not defined is left out, from the cache as well', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'xlembed-similarity-'));
  after(() => rmSync(folder, { recursive: true }));
  const run = () => evaluateTask(gradedBy(ids.map(() => 3)), embedRow, { cache: { folder, identity: 1 } });
  const first = await run();
  assert.deepEqual([first.grid[0]!.measures, first.measures], [{}, {}]);
  assert.deepEqual(await run(), first);
  assert.match(evaluationText({ ...first, seconds: 1 }), /^de +- +-$/m);
});

test('sides of unequal length, none at all, and grades that are no numbers are refused', async () => {
  const short = { ids, source: texts('source'), target: texts('target').slice(1) };
  for (const sentences of [short, { ids: [], source: [], target: [] }]) {
    const wrong: BitextTask = { ...task, pairs: [{ ...pair, read: async () => sentences }] };
    await assert.rejects(evaluateTask(wrong, embedRow), { code: 'TASK_DATA_INVALID' });
  }
  const [first, second] = [texts('source'), texts('target')];
  for (const grades of [
    golden.grades.slice(1),
    golden.grades.map((grade, i) => (i === 3 ? Number.NaN : grade)),
  ]) {
    const sets = [{ source: 'de', target: 'en', read: async () => ({ first, second, grades }) }];
    const wrong: SimilarityTask = { kind: 'similarity', name: 'wrong', languages: ['de', 'en'], sets };
    await assert.rejects(evaluateTask(wrong, embedRow), { code: 'TASK_DATA_INVALID' });
  }
});

test('embeddings that are not finite are refused in every kind of task', async () => {
  const overflowing: Embed = async (texts, role) => {
    const rows = await embedRow(texts, role);
    rows.data[dimensions] = Number.NaN;
    return rows;
  };
  for (const each of [task, gradedBy(golden.grades)]) {
    await assert.rejects(evaluateTask(each, overflowing), {
      code: 'INVALID_ARGUMENT',
      message: /finite embeddings, received NaN for the text "source 1"/,
    });
  }
});
