import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatSamplerDescription } from '#xlembed/batches/describe.js';
import { XlembedError } from '#xlembed/errors.js';
import { parallel, plans, range, record, sampler } from './datasets.js';

type Overrides = Parameters<typeof sampler>[1];

function refuses(code: string, says: RegExp, act: () => unknown) {
  assert.throws(act, (error) => {
    assert.ok(error instanceof XlembedError);
    assert.equal(error.code, code);
    assert.match(`${error.message} | ${error.hint}`, says);
    return true;
  });
}

test('what no dataset could satisfy is refused by name', () => {
  const refused: [Overrides, RegExp][] = [
    [{ alpha: -0.1 }, /0 to 1 for alpha, received -0\.1/],
    [{ alpha: 1.5 }, /0 to 1 for alpha/],
    [{ alpha: Number.NaN }, /0 to 1 for alpha, received NaN/],
    [
      { sampler: 'mixed' as 'hybrid' },
      /one of monolingual, cross_lingual, hybrid for sampler, received "mixed"/,
    ],
    [{ batchSize: 1 }, /at least 2 for batchSize, received 1/],
    [{ batchSize: 2.5 }, /for batchSize/],
    [{ seed: -1 }, /for seed/],
    [{ seed: 2 ** 53 }, /for seed/],
    [{ languages: ['en', 'xx'] }, /for languages, received "xx".*has: de, en/],
    [{ languages: [] }, /one language or more/],
    [{ languages: ['en', 'en'] }, /each language once/],
    [{ languageWeights: { temperature: 0 } }, /for languageWeights, received .*temperature.*:0/],
    [{ languageWeights: 'uneven' as 'equal' }, /for languageWeights, received "uneven"/],
  ];
  for (const [options, says] of refused) {
    refuses('INVALID_ARGUMENT', says, () => sampler(parallel(10, 'en de'), options));
  }
  for (const n of [-1, 0.5, Number.NaN, 2 ** 53]) {
    refuses('INVALID_ARGUMENT', /for n/, () => sampler(parallel(10, 'en de')).plan(n));
  }
  refuses('EMPTY_DATASET', /received none/, () => sampler([]));
});

test('a sampler that cannot make a batch says so at construction, with the remedy', () => {
  const flat = range(10).map((i) => record(i, 'en'));
  const crossed = range(10).map((i) => record(i, 'en', 'de'));
  const undetermined = range(10).map((i) => record(i, 'und', 'en'));
  const no = (says: RegExp, records: typeof flat, options: Overrides) =>
    refuses('SAMPLER_IMPOSSIBLE', says, () => sampler(records, options));
  no(/needs cross_lingual batches.*Take the monolingual/, flat, { sampler: 'cross_lingual' });
  no(/hybrid sampler needs cross_lingual/, flat, {});
  no(/needs monolingual batches.*Take the cross_lingual/, crossed, { sampler: 'monolingual' });
  no(/hybrid sampler needs monolingual/, crossed, {});
  no(/cross_lingual/, undetermined, { sampler: 'cross_lingual' });
  no(/among en /, parallel(10, 'en de'), { sampler: 'cross_lingual', languages: ['en'] });
  no(/two records/, parallel(1, 'en de'), { sampler: 'monolingual' });
  no(/two records/, parallel(1, 'en de'), { sampler: 'cross_lingual' });
  assert.equal(sampler(flat, { alpha: 1 }).plan(0).pairs.length, 8);
  assert.equal(sampler(crossed, { alpha: 0 }).plan(0).pairs.length, 8);
});

test('alpha is the hybrid sampler’s alone: the others have their own, and say so', () => {
  const records = parallel(20, 'en de');
  const alphaOf = (name: 'monolingual' | 'cross_lingual' | 'hybrid', alpha?: number) =>
    sampler(records, { sampler: name, alpha }).describe().alpha;
  assert.deepEqual([alphaOf('monolingual', 0.5), alphaOf('cross_lingual', 0.5)], [1, 0]);
  assert.deepEqual([alphaOf('hybrid'), alphaOf('hybrid', 0.3)], [0.5, 0.3]);
});

test('a small cell gives a short batch, never a padded one', () => {
  const records = [...parallel(40, 'en'), ...range(5).map((i) => record(40 + i, 'de'))];
  const source = sampler(records, { sampler: 'monolingual', batchSize: 16 });
  for (const plan of plans(source, 300)) {
    const expected = plan.pairs[0]!.queryLanguage === 'de' ? 5 : 16;
    assert.equal(new Set(plan.pairs.map((pair) => pair.record)).size, expected);
    assert.equal(plan.pairs.length, expected);
  }
  assert.deepEqual(source.describe().shortMonolingual, ['de']);
});

test('a used-up combination of languages leaves its place to the others', () => {
  const records = [record(0, 'en', 'de'), ...range(50).map((i) => record(1 + i, 'en', 'fr'))];
  const source = sampler(records, { sampler: 'cross_lingual', batchSize: 30 });
  for (const plan of plans(source, 100)) {
    assert.equal(plan.pairs.length, 30);
    assert.ok(plan.pairs.some((pair) => pair.record === 0));
  }
  const all = sampler(records, { sampler: 'cross_lingual', batchSize: 64 });
  assert.equal(all.plan(0).pairs.length, 51);
  assert.equal(all.describe().shortCrossLingual, true);
});

test('a language with one record has no monolingual batch, and the description counts that', () => {
  const records = [...parallel(10, 'en'), record(10, 'de')];
  const source = sampler(records, { sampler: 'monolingual' });
  const { monolingual, counts, unreachableRecords } = source.describe();
  assert.deepEqual(
    monolingual.map((cell) => cell.queryLanguage),
    ['en'],
  );
  assert.deepEqual(counts, [
    [1, 0],
    [0, 10],
  ]);
  assert.equal(unreachableRecords, 1);
});

test('the description is the matrix of counts with its probabilities', () => {
  const records = [...parallel(6, 'en de'), ...range(4).map((i) => record(6 + i, 'en', 'de'))];
  records[9]!.query.en = records[0]!.query.en!;
  const description = sampler(records, { languageWeights: 'proportional', alpha: 0.25 }).describe();
  assert.deepEqual(description, {
    ...{
      sampler: 'hybrid',
      alpha: 0.25,
      batchSize: 8,
      records: 10,
      unreachableRecords: 0,
      recordsSharingTexts: 2,
    },
    languages: ['de', 'en'],
    heldOutLanguages: [],
    heldOutTexts: {},
    datasets: [{ name: 'data', records: 10 }],
    counts: [
      [6, 6],
      [10, 6],
    ],
    monolingual: [
      { queryLanguage: 'de', positiveLanguage: 'de', records: 6, probability: 0.5 },
      { queryLanguage: 'en', positiveLanguage: 'en', records: 6, probability: 0.5 },
    ],
    crossLingual: [
      { queryLanguage: 'de', positiveLanguage: 'en', records: 6, probability: 6 / 16 },
      { queryLanguage: 'en', positiveLanguage: 'de', records: 10, probability: 10 / 16 },
    ],
    shortMonolingual: ['de', 'en'],
    shortCrossLingual: false,
  });
  const lines = formatSamplerDescription(description).split('\n');
  assert.deepEqual(lines.slice(3, 6), [
    'query \\ positive  de  en',
    'de                 6   6',
    'en                10   6',
  ]);
  assert.equal(lines[6], 'monolingual batches: de 50.0 %, en 50.0 %');
  assert.equal(lines[7], 'fewer than 8 records, short batches: de en');
});
