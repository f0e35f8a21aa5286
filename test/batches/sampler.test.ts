import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BatchPlan } from '#xlembed/batches/plan.js';
import type { ParallelRecord } from '#xlembed/datasets/records.js';
import { parallel, plans, range, record, sampler, uneven } from './datasets.js';

/** Holds for every plan of every sampler. */
function checkPlan(plan: BatchPlan, records: ParallelRecord[], languages: string[]) {
  const [first] = plan.pairs;
  for (const pair of plan.pairs) {
    assert.ok(records[pair.record]!.query[pair.queryLanguage]);
    assert.ok(records[pair.record]!.positive[pair.positiveLanguage]);
    assert.ok(languages.includes(pair.queryLanguage) && languages.includes(pair.positiveLanguage));
    if (plan.kind === 'cross_lingual') assert.notEqual(pair.queryLanguage, pair.positiveLanguage);
    else assert.deepEqual([pair.queryLanguage, pair.positiveLanguage], Array(2).fill(first!.queryLanguage));
  }
}

for (const name of ['monolingual', 'cross_lingual', 'hybrid'] as const) {
  test(`${name}: languages are as promised over thousands of batches`, () => {
    const records = uneven(300);
    for (const languageWeights of ['equal', 'proportional', { temperature: 3 }] as const) {
      const kinds = new Set<string>();
      for (const plan of plans(sampler(records, { sampler: name, languageWeights }), 1500)) {
        kinds.add(plan.kind);
        assert.equal(plan.pairs.length, 8);
        checkPlan(plan, records, ['de', 'en', 'ru']);
      }
      assert.deepEqual([...kinds].sort(), name === 'hybrid' ? ['cross_lingual', 'monolingual'] : [name]);
    }
  });
}

test('languages that are not named are held out', () => {
  const records = uneven(200);
  const source = sampler(records, { languages: ['ru', 'en'] });
  for (const plan of plans(source, 500)) checkPlan(plan, records, ['en', 'ru']);
  assert.deepEqual(source.describe().heldOutLanguages, ['de']);
  assert.deepEqual(plans(source, 20), plans(sampler(records, { languages: ['en', 'ru'] }), 20));
});

test('a cross-lingual batch mixes combinations of languages', () => {
  const source = sampler(parallel(500, 'ar de en hi'), { sampler: 'cross_lingual', batchSize: 100 });
  const combinations = source.plan(0).pairs.map((pair) => `${pair.queryLanguage} ${pair.positiveLanguage}`);
  assert.equal(new Set(combinations).size, 12);
});

test('the same seed repeats, another one differs, and so does every n', () => {
  const records = uneven(200);
  const first = plans(sampler(records), 50);
  assert.deepEqual(plans(sampler(records), 50), first);
  const texts = (all: BatchPlan[]) => all.map((plan) => JSON.stringify(plan.pairs));
  const other = texts(plans(sampler(records, { seed: 2 }), 50));
  assert.equal(new Set([...texts(first), ...other]).size, 100);
});

test('plan(n) does not depend on the calls before it', () => {
  const records = uneven(200);
  const forward = plans(sampler(records), 40);
  const source = sampler(records);
  const backward = range(40)
    .map((i) => source.plan(39 - i))
    .reverse();
  assert.deepEqual(backward, forward);
  assert.deepEqual(sampler(records).plan(17), forward[17]);
  assert.deepEqual(source.plan(2 ** 53 - 1), sampler(records).plan(2 ** 53 - 1));
  for (const far of [1017, 65_553, 2 ** 32 + 17]) {
    assert.notDeepEqual(source.plan(far).pairs, source.plan(17).pairs);
  }
});

test('the order of keys within a record changes nothing', () => {
  const turn = (texts: Record<string, string>) => Object.fromEntries(Object.entries(texts).reverse());
  const turned = uneven(200).map((r) => ({ id: r.id, positive: turn(r.positive), query: turn(r.query) }));
  assert.deepEqual(plans(sampler(turned), 20), plans(sampler(uneven(200)), 20));
});

test('plans are pinned: a change here changes what every seed means', () => {
  const records = uneven(50);
  const shown = (n: number) => {
    const plan = sampler(records, { batchSize: 4, seed: 7, languageWeights: { temperature: 2 } }).plan(n);
    return `${plan.kind}: ${plan.pairs.map((p) => `${p.record} ${p.queryLanguage}-${p.positiveLanguage}`).join(', ')}`;
  };
  assert.deepEqual(
    [shown(0), shown(1), shown(2)],
    [
      'cross_lingual: 31 ru-en, 22 de-en, 24 en-ru, 23 ru-en',
      'monolingual: 19 en-en, 23 en-en, 12 en-en, 47 en-en',
      'cross_lingual: 46 ru-de, 39 de-en, 23 de-en, 43 en-de',
    ],
  );
});

test('alpha 1 and 0 are the monolingual and the cross-lingual sampler, exactly', () => {
  const records = uneven(200);
  assert.deepEqual(
    plans(sampler(records, { alpha: 1 }), 200),
    plans(sampler(records, { sampler: 'monolingual' }), 200),
  );
  assert.deepEqual(
    plans(sampler(records, { alpha: 0 }), 200),
    plans(sampler(records, { sampler: 'cross_lingual' }), 200),
  );
});

test('every record that can be drawn is drawn, in every combination it has', () => {
  const records = uneven(60);
  const wanted = new Set<string>();
  records.forEach((r, i) => {
    for (const q of Object.keys(r.query))
      for (const p of Object.keys(r.positive)) wanted.add(`${i} ${q} ${p}`);
  });
  for (const languageWeights of ['equal', 'proportional'] as const) {
    const seen = new Set<string>();
    for (const plan of plans(sampler(records, { languageWeights }), 3000)) {
      for (const pair of plan.pairs)
        seen.add(`${pair.record} ${pair.queryLanguage} ${pair.positiveLanguage}`);
    }
    assert.deepEqual(seen, wanted);
  }
});

test('flat pairs: one language on each side', () => {
  const flat = range(120).map((i) =>
    record(i, ['en', 'de', 'fr'][i % 3]!, ['en', 'de', 'fr'][(i >> 1) % 3]!),
  );
  for (const plan of plans(sampler(flat), 500)) checkPlan(plan, flat, ['de', 'en', 'fr']);
});

test('texts of undetermined language train monolingually, and are never called cross-lingual', () => {
  const records = [
    ...range(20).map((i) => record(i, 'und', 'und en')),
    ...range(20).map((i) => record(20 + i, 'en de')),
  ];
  const source = sampler(records, { batchSize: 20 });
  for (const plan of plans(source, 300)) {
    checkPlan(plan, records, ['de', 'en', 'und']);
    if (plan.kind === 'cross_lingual') assert.ok(plan.pairs.every((pair) => pair.record >= 20));
  }
  assert.ok(source.describe().monolingual.some((cell) => cell.queryLanguage === 'und'));
});

test('language names are data, also those that objects inherit', () => {
  const odd = range(10).map(
    (i): ParallelRecord =>
      JSON.parse(
        `{"id":"${i}","query":{"__proto__":"a${i}","constructor":"b${i}"},"positive":{"__proto__":"c${i}","en":"d${i}"}}`,
      ),
  );
  const seen = sampler(odd, { sampler: 'cross_lingual' }).describe().crossLingual;
  assert.deepEqual(
    seen.map((cell) => [cell.queryLanguage, cell.positiveLanguage, cell.records]),
    [
      ['__proto__', 'en', 10],
      ['constructor', '__proto__', 10],
      ['constructor', 'en', 10],
    ],
  );
});
