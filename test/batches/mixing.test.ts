import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Alpha, alphaAt } from '#xlembed/batches/alpha.js';
import { type CellDescription, formatSamplerDescription } from '#xlembed/batches/describe.js';
import { isHeldOut } from '#xlembed/batches/held_out.js';
import { parallel, plans, range, record, reducedChiSquare, sampler } from './datasets.js';

const share = (hits: number, all: number) => [hits, all - hits];

test('alpha goes linearly from its first to its last value, or by a list of batches', () => {
  const linear = range(5).map((n) => alphaAt({ from: 1, to: 0 }, n, 5));
  assert.deepEqual(linear, [1, 0.75, 0.5, 0.25, 0]);
  assert.equal(alphaAt({ from: 1, to: 0.5 }, 99, 5), 0.5);
  const steps: Alpha = [
    { batch: 0, alpha: 0.9 },
    { batch: 3, alpha: 0.1 },
  ];
  assert.deepEqual(
    range(5).map((n) => alphaAt(steps, n, 5)),
    [0.9, 0.9, 0.9, 0.1, 0.1],
  );
  const source = sampler(parallel(60, 'en de'), { alpha: { from: 1, to: 0 }, batches: 4000 });
  const kinds = plans(source, 4000).map((plan) => plan.kind);
  assert.equal(kinds[0], 'monolingual');
  assert.equal(kinds[3999], 'cross_lingual');
  for (const [quarter, expected] of [0.875, 0.625, 0.375, 0.125].entries()) {
    const seen = kinds.slice(1000 * quarter, 1000 * (quarter + 1));
    const monolingual = seen.filter((kind) => kind === 'monolingual').length;
    assert.ok(reducedChiSquare(share(monolingual, 1000), [expected, 1 - expected]) < 8);
  }
  assert.match(formatSamplerDescription(source.describe()), /from 100\.0 % to 0\.0 % monolingual/);
});

test('an alpha that is no schedule is refused', () => {
  const at = (...batches: number[]) => batches.map((batch) => ({ batch, alpha: 0.5 }));
  const wrong = [{ from: 0, to: 2 }, [], at(1), at(0, 0), at(0, 5, 3), { from: 1 }];
  assert.equal(sampler(parallel(9, 'en de'), { alpha: at(0, 3, 5) }).plan(4).pairs.length, 8);
  for (const alpha of wrong) {
    const message = /\{ from, to \}.*for alpha/;
    assert.throws(() => sampler(parallel(9, 'en de'), { alpha: alpha as Alpha }), {
      code: 'INVALID_ARGUMENT',
      message,
    });
  }
  assert.throws(() => sampler(parallel(9, 'en'), { alpha: { from: 1, to: 0.5 } }), {
    code: 'SAMPLER_IMPOSSIBLE',
  });
});

test('held-out languages are in no batch, whatever their spelling, and are counted', () => {
  const records = range(40).map((i) => record(i, 'en de el el-CY', 'en de ell'));
  records[0]!.negatives = { el: ['a', 'b'], en: ['c'] };
  const source = sampler(records, { holdOut: ['el', 'vi'] });
  for (const plan of plans(source, 300)) {
    for (const { queryLanguage, positiveLanguage } of plan.pairs) {
      assert.ok(['en', 'de'].includes(queryLanguage) && ['en', 'de'].includes(positiveLanguage));
    }
  }
  const description = source.describe();
  assert.deepEqual(description.heldOutLanguages, ['el', 'el-CY', 'ell']);
  assert.deepEqual(description.heldOutTexts, { el: 42, 'el-CY': 40, ell: 40 });
  assert.match(formatSamplerDescription(description), /held out: el \(42 texts\), el-CY \(40 texts\)/);
  assert.throws(() => sampler(records, { languages: ['en', 'ell'], holdOut: ['el'] }), {
    code: 'INVALID_ARGUMENT',
    message: /holdOut/,
  });
  assert.throws(() => sampler(parallel(9, 'en'), { holdOut: ['en'] }), { message: /leave one to train on/ });
  assert.ok(!isHeldOut('elx', ['el']) && isHeldOut('ell_Grek', ['el']) && !isHeldOut('el', ['el-CY']));
});

test('listed pairs of languages are the only ones of their kind, drawn by their weights', () => {
  const languagePairs = [
    { query: 'en', positive: 'de', weight: 3 },
    { query: 'ru', positive: 'en' },
  ];
  const source = sampler(parallel(300, 'en de ru'), { languagePairs, batchSize: 4 });
  const batches = plans(source, 3000);
  const cross = batches.filter(({ kind }) => kind === 'cross_lingual').flatMap(({ pairs }) => pairs);
  const english = cross.filter(({ queryLanguage }) => queryLanguage === 'en');
  assert.ok(english.every(({ positiveLanguage }) => positiveLanguage === 'de'));
  assert.ok(cross.every(({ queryLanguage }) => queryLanguage !== 'de'));
  assert.ok(reducedChiSquare(share(english.length, cross.length), [0.75, 0.25]) < 8);
  const monolingual = batches.filter(({ kind }) => kind === 'monolingual');
  assert.equal(new Set(monolingual.map(({ pairs }) => pairs[0]!.queryLanguage)).size, 3);
  assert.deepEqual(
    source.describe().crossLingual.map(({ probability }) => Number(probability.toFixed(6))),
    [0.75, 0.25],
  );
  const fractions = languagePairs.map((pair, i) => ({ ...pair, weight: [0.75, 0.25][i] }));
  const drawn = sampler(parallel(300, 'en de ru'), { languagePairs: fractions, batchSize: 4 });
  assert.deepEqual(plans(drawn, 100), plans(source, 100));
  const only = sampler(parallel(30, 'en de ru'), { languagePairs: [{ query: 'de', positive: 'de' }] });
  const languages = plans(only, 50).filter(({ kind }) => kind === 'monolingual');
  assert.ok(languages.every(({ pairs }) => pairs[0]!.queryLanguage === 'de'));
  const refused = [
    [{ query: 'en', positive: 'xx' }],
    [{ query: 'xx', positive: 'en' }],
    [{ query: 'en', positive: 'de', weight: 0 }],
  ];
  for (const pairs of refused) {
    assert.throws(() => sampler(parallel(9, 'en de'), { languagePairs: pairs }), {
      code: 'INVALID_ARGUMENT',
    });
  }
});

const MIXED = [...parallel(100, 'en de'), ...range(50).map((i) => record(100 + i, 'en de fr'))];
const DATASETS = [
  { name: 'large', records: 100, weight: 1 },
  { name: 'small', records: 50, weight: 3 },
];

test('data sets are mixed by their weights, pair by pair', () => {
  const source = sampler(MIXED, { datasets: DATASETS, batchSize: 4, languageWeights: 'proportional' });
  const small = plans(source, 2000).map(
    ({ pairs }) => pairs.filter((pair) => pair.record >= 100).length / pairs.length,
  );
  const mean = small.reduce((sum, value) => sum + value, 0) / small.length;
  assert.ok(Math.abs(mean - 0.75) < 0.02, `share ${mean}`);
  assert.ok(small.some((value) => value > 0 && value < 1));
  const { datasets, monolingual } = source.describe();
  assert.deepEqual(
    datasets.map(({ share }) => share),
    [0.25, 0.75],
  );
  const total = monolingual.reduce((sum, { probability }) => sum + probability, 0);
  assert.ok(Math.abs(total - 1) < 1e-9);
});

test('one data set a batch: never two in one, and as often as the weights say', () => {
  const source = sampler(MIXED, { datasets: DATASETS, oneDatasetPerBatch: true, batchSize: 4 });
  const batches = plans(source, 3000).map(({ pairs }) => new Set(pairs.map(({ record }) => record >= 100)));
  assert.ok(batches.every(({ size }) => size === 1));
  const small = batches.filter((sets) => sets.has(true)).length;
  assert.ok(reducedChiSquare(share(small, 3000), [0.75, 0.25]) < 8);
});

test('the records of each data set are counted, and drawn, wherever it ends', () => {
  for (const first of [31, 32, 33, 63, 64, 65]) {
    const sizes = [first, 97 - first, 31];
    const records = range(128).map((i) => record(i, i % 3 === 0 ? 'en de' : 'en', i % 5 === 0 ? 'en' : 'de'));
    const datasets = sizes.map((count, d) => ({ name: `${d}`, records: count }));
    const source = sampler(records, { datasets, batchSize: 128 });
    const ends = [first, 97, 128];
    const inCell = ({ dataset, queryLanguage, positiveLanguage }: CellDescription) =>
      range(128).filter((i) => {
        const own = i < ends[Number(dataset)]! && i >= ends[Number(dataset)]! - sizes[Number(dataset)]!;
        return own && records[i]!.query[queryLanguage] && records[i]!.positive[positiveLanguage];
      }).length;
    const { monolingual, crossLingual } = source.describe();
    for (const cell of [...monolingual, ...crossLingual]) assert.equal(cell.records, inCell(cell));
    const drawn = plans(source, 40).filter(({ kind }) => kind === 'cross_lingual');
    const crossed = range(128).filter((i) => i % 5 !== 0 || i % 3 === 0);
    for (const { pairs } of drawn) {
      assert.deepEqual(
        pairs.map((pair) => pair.record).sort((a, b) => a - b),
        crossed,
      );
    }
  }
});

test('two data sets in their natural proportion are one', () => {
  const datasets = [
    { name: 'a', records: 70 },
    { name: 'b', records: 80 },
  ];
  const of = (options: object) =>
    sampler(parallel(150, 'en de'), { batchSize: 4, sampler: 'monolingual', ...options });
  const [one, two] = [of({}), of({ datasets })].map((source) => {
    const drawn = new Array<number>(150).fill(0);
    for (const { pairs } of plans(source, 4000)) for (const { record } of pairs) drawn[record]!++;
    return drawn.slice(70).reduce((sum, count) => sum + count, 0);
  });
  assert.ok(Math.abs(one! - two!) < 0.03 * one!, `${one} and ${two}`);
});

test('languages are drawn as if all files were one; weights of the files come before them', () => {
  const languages = ['en', 'de', 'ru'];
  const records = languages.flatMap((language, i) =>
    range([90, 40, 20][i]!).map((k) => record(100 * i + k, language)),
  );
  const files = [
    { name: 'en', records: 90 },
    { name: 'de', records: 40 },
    { name: 'ru', records: 20 },
  ];
  const of = (options: object) => sampler(records, { sampler: 'monolingual', ...options });
  const drawn = (options: object) => {
    const batches = plans(of(options), 2000).map(({ pairs }) => pairs[0]!.queryLanguage);
    return languages.map((language) => batches.filter((found) => found === language).length);
  };
  for (const oneDatasetPerBatch of [false, true]) {
    const equal = drawn({ datasets: files, oneDatasetPerBatch });
    assert.ok(reducedChiSquare(equal, [1 / 3, 1 / 3, 1 / 3]) < 6, `${equal}`);
  }
  for (const languageWeights of ['equal', 'proportional', { temperature: 2 }] as const) {
    const [one, three] = [undefined, files].map((datasets) =>
      of({ languageWeights, datasets })
        .describe()
        .monolingual.map(({ queryLanguage, probability }) => [queryLanguage, probability.toFixed(6)])
        .sort(),
    );
    assert.deepEqual(three, one);
  }
  const weighted = files.map((file, i) => ({ ...file, weight: [6, 3, 1][i]! }));
  assert.ok(reducedChiSquare(drawn({ datasets: weighted }), [0.6, 0.3, 0.1]) < 6);
  assert.match(
    formatSamplerDescription(of({ datasets: files }).describe()),
    /sets en \(90 records\), de \(40/,
  );
});

test('a language with one record in each of several data sets is drawn like one that has them all in one', () => {
  const records = range(30).map((i) => record(i, i % 10 === 0 ? 'en fi' : 'en'));
  const datasets = ['a', 'b', 'c'].map((name) => ({ name, records: 10 }));
  const of = (options: object) => sampler(records, { sampler: 'monolingual', ...options }).describe();
  const finnish = (options: object) =>
    of(options)
      .monolingual.filter(({ queryLanguage }) => queryLanguage === 'fi')
      .reduce((sum, { probability }) => sum + probability, 0);
  for (const languageWeights of ['equal', 'proportional'] as const) {
    assert.ok(Math.abs(finnish({ datasets, languageWeights }) - finnish({ languageWeights })) < 1e-9);
  }
  for (const { pairs } of plans(sampler(records, { sampler: 'monolingual', datasets }), 100)) {
    if (pairs[0]!.queryLanguage === 'fi') assert.equal(pairs.length, 3);
  }
  assert.equal(finnish({ datasets, oneDatasetPerBatch: true }), 0);

  // A language that no batch can be of takes nothing from the weight of its data set.
  const alone = records.map((each, i) => (i > 0 ? record(i, 'en') : each));
  const { monolingual } = sampler(alone, {
    sampler: 'monolingual',
    datasets: datasets.map((each) => ({ ...each, weight: 1 })),
  }).describe();
  assert.deepEqual(
    monolingual.map(({ dataset, probability }) => [dataset, probability.toFixed(6)]),
    ['a', 'b', 'c'].map((name) => [name, '0.333333']),
  );
});

test('data sets that do not add up, and weights of nothing, are refused', () => {
  for (const datasets of [[{ name: 'a', records: 7 }], [{ name: 'a', records: 150, weight: 0 }]]) {
    assert.throws(() => sampler(MIXED, { datasets }), { code: 'INVALID_ARGUMENT', message: /datasets/ });
  }
});

test('records with the same id of the positive never meet', () => {
  const records = parallel(6, 'en de').map((r, i) => ({ ...r, positiveId: `p${i % 3}` }));
  for (const { pairs } of plans(sampler(records), 200)) {
    assert.equal(pairs.length, 3);
    assert.equal(new Set(pairs.map(({ record }) => record % 3)).size, 3);
  }
});
