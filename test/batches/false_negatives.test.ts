import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RandomStream } from '#xlembed/batches/philox.js';
import type { BatchPlan } from '#xlembed/batches/plan.js';
import { groupsOfConflict, normalizeText, SharedTexts } from '#xlembed/batches/shared_texts.js';
import type { ParallelRecord } from '#xlembed/datasets/records.js';
import { parallel, plans, range, record, sampler } from './datasets.js';

const textsOf = (record: ParallelRecord, side: 'query' | 'positive') =>
  new Set(Object.values(record[side]).map(normalizeText));

/** Of every record, the positives of all records that share a query with it. */
function answersOf(records: ParallelRecord[]): Set<string>[] {
  const answers = new Map<string, Set<string>>();
  for (const record of records) {
    for (const query of textsOf(record, 'query')) {
      answers.set(query, new Set([...(answers.get(query) ?? []), ...textsOf(record, 'positive')]));
    }
  }
  return records.map((record) => new Set([...textsOf(record, 'query')].flatMap((q) => [...answers.get(q)!])));
}

/** No two records of the batch share a text of either side, in any language, and none has an answer to another's query. */
function assertApart(plan: BatchPlan, records: ParallelRecord[], answers = answersOf(records)) {
  assert.equal(new Set(plan.pairs.map((pair) => pair.record)).size, plan.pairs.length);
  const owner = new Map(
    plan.pairs.flatMap(({ record }) =>
      [...textsOf(records[record]!, 'positive')].map((text) => [text, record]),
    ),
  );
  for (const { record } of plan.pairs) {
    for (const answer of answers[record]!) assert.ok((owner.get(answer) ?? record) === record);
  }
  for (const side of ['query', 'positive'] as const) {
    const texts = plan.pairs.flatMap((pair) => [
      ...new Set(Object.values(records[pair.record]![side]).map(normalizeText)),
    ]);
    assert.equal(new Set(texts).size, texts.length, `${side} of batch ${plan.n}`);
  }
}

/** Few texts for many records, in changing spelling; also the same text in two languages. */
function crowded(n: number, texts: number): ParallelRecord[] {
  const spell = [
    (t: string) => t,
    (t: string) => ` ${t.toUpperCase()}\n`,
    (t: string) => t.replace(' ', ' \t '),
  ];
  const text = (i: number, k: number) =>
    spell[(i + k) % 3]!(`the text ${(i * 31 + k * 17 + ((i * i) >> 3)) % texts}`);
  return range(n).map((i) => ({
    id: String(i),
    query: { en: text(i, 0), de: text(i, 1), fr: `question ${i}` },
    positive: { en: text(i, 2), de: `answer ${i}`, fr: text(i, 3) },
  }));
}

test('no two pairs of a batch may answer each other, however many texts repeat', () => {
  for (const texts of [7, 60, 500]) {
    const records = crowded(400, texts);
    const answers = answersOf(records);
    for (const plan of plans(sampler(records, { batchSize: 32 }), 400)) assertApart(plan, records, answers);
  }
});

test('a batch is short only when no further record could come', () => {
  const records = crowded(150, 40);
  const answers = answersOf(records);
  for (const plan of plans(sampler(records, { sampler: 'cross_lingual', batchSize: 64 }), 100)) {
    assert.ok(plan.pairs.length < 64);
    const taken = new Set(plan.pairs.map((pair) => pair.record));
    for (const other of range(150).filter((i) => !taken.has(i))) {
      const pairs = [...plan.pairs, { record: other, queryLanguage: 'en', positiveLanguage: 'de' }];
      assert.throws(() => assertApart({ ...plan, pairs }, records, answers));
    }
  }
});

/** The first query is answered by two passages in two records, the second of which also answers the second query. */
function manyToMany(others: number): ParallelRecord[] {
  const of = (i: number, query: string, positive: string) => ({
    ...{ id: String(i), query: { en: query }, positive: { en: positive } },
  });
  const two = [of(0, 'first', 'a'), of(1, 'first', 'b'), of(2, 'second', 'b')];
  return [...two, ...range(others).map((i) => of(3 + i, `query ${i}`, `passage ${i}`))];
}

test('what answers a query in a record outside the batch is no negative within: such records never meet', () => {
  const records = manyToMany(7);
  const answers = answersOf(records);
  for (const plan of plans(sampler(records, { sampler: 'monolingual' }), 300)) {
    assert.equal(plan.pairs.length, 8);
    assertApart(plan, records, answers);
  }
  const byId = records.map((r, i) => ({
    ...r,
    positive: { en: `passage ${i}` },
    positiveId: r.positive.en!,
  }));
  for (const { pairs } of plans(sampler(byId, { sampler: 'monolingual' }), 300)) {
    assert.equal(pairs.filter(({ record }) => record < 3).length, 1);
  }
  assert.deepEqual([...groupsOfConflict([0, 2, 5], SharedTexts.among(records))], [0, 0, 2]);
  assert.deepEqual([...groupsOfConflict([2, 5, 0], SharedTexts.among(records))], [0, 1, 0]);
});

test('masked duplicates meet: batches are full, and what shares a text, also by way of others, is one group', () => {
  const records = crowded(150, 40);
  const masked = plans(sampler(records, { sampler: 'monolingual', batchSize: 64, duplicates: 'mask' }), 20);
  assert.ok(masked.every(({ pairs }) => pairs.length === 64));
  assert.throws(() => {
    for (const plan of masked) assertApart(plan, records);
  });
  const chain = [record(0, 'en'), record(1, 'en'), record(2, 'en'), record(3, 'en'), record(4, 'en')];
  chain[2]!.query.en = ' QUERY 0 in EN';
  chain[4]!.query.en = chain[3]!.query.en!;
  chain[4]!.positive.en = chain[2]!.positive.en!;
  assert.deepEqual([...groupsOfConflict(range(5), SharedTexts.among(chain))], [0, 1, 0, 0, 0]);
  const byId = [0, 1, 2].map((n) => ({ ...record(n, 'en'), positiveId: n === 1 ? 'other' : 'same' }));
  assert.deepEqual([...groupsOfConflict(range(3), SharedTexts.among(byId))], [0, 1, 0]);
});

/** What the sampler must know, found by comparing every text with every other. */
function byComparing(records: ParallelRecord[]) {
  const queries = records.map((each) => textsOf(each, 'query'));
  const answers = records.map((each) => new Set([...textsOf(each, 'positive'), `id ${each.positiveId}`]));
  const meet = (a: Set<string>, b: Set<string>) => [...a].some((text) => b.has(text));
  const asksTheSame = (i: number, k: number) => meet(queries[i]!, queries[k]!);
  const shares = (i: number, k: number) => asksTheSame(i, k) || meet(answers[i]!, answers[k]!);
  const answered = (i: number, k: number) =>
    records.some((_, other) => asksTheSame(i, other) && meet(answers[other]!, answers[k]!));
  return { asksTheSame, shares, conflict: (i: number, k: number) => answered(i, k) || answered(k, i) };
}

test('what conflicts in small random data is what comparing all texts finds', () => {
  const random = new RandomStream(11, 0);
  const records = range(7);
  for (let round = 0; round < 150; round++) {
    const text = (side: string) => `${side} ${random.below(14)}`;
    const data = records.map((i) => ({
      id: `${i}`,
      query: { en: text('q'), de: text('q') },
      positive: { en: text('p'), de: text('p') },
      positiveId: text('d'),
    }));
    const { asksTheSame, shares, conflict } = byComparing(data);
    const shared = SharedTexts.among(data);
    const others = (i: number) => records.filter((k) => k !== i);
    assert.equal(shared.records, records.filter((i) => others(i).some((k) => shares(i, k))).length);
    for (const i of records) {
      const asking = records.filter((k) => asksTheSame(i, k));
      assert.deepEqual(shared.askingTheSame(i).sort(), asking);
      for (const k of others(i)) {
        const [first, second] = groupsOfConflict([i, k], shared);
        assert.equal(first === second, conflict(i, k));
      }
    }
    const { pairs } = sampler(data, { sampler: 'monolingual', languages: ['en'] }).plan(round);
    const taken = pairs.map(({ record }) => record);
    for (const i of records) {
      const against = taken.filter((k) => k !== i && conflict(i, k));
      assert.equal(against.length === 0, taken.includes(i), `record ${i} of ${taken}`);
    }
  }
});

test('a question in two records keeps them apart when each comes in another language', () => {
  const records = [record(0, 'en de'), record(1, 'en de'), record(2, 'en de')];
  records[1]!.query.en = ' QUERY 0  in EN ';
  for (const plan of plans(sampler(records), 200)) {
    assert.equal(plan.pairs.length, 2);
    assert.ok(plan.pairs.some((pair) => pair.record === 2));
  }
});

test('held-out languages count as well: they too tell that two questions are one', () => {
  const records = parallel(4, 'en de el');
  records[1]!.positive.el = records[0]!.positive.el!;
  for (const plan of plans(sampler(records, { languages: ['en', 'de'] }), 100)) {
    assert.equal(plan.pairs.length, 3);
    assertApart(plan, records);
  }
});

test('a query that equals a positive, or a text that one record has twice, keeps nobody apart', () => {
  const records = parallel(6, 'en de');
  for (const r of records) r.query.de = r.query.en!;
  records[0]!.positive.en = records[1]!.query.en!;
  assert.equal(SharedTexts.among(records).records, 0);
  assert.equal(sampler(records).plan(0).pairs.length, 6);
});

test('texts are the same up to NFKC, case and white space', () => {
  const same = (a: string, b: string) => assert.equal(normalizeText(a), normalizeText(b));
  same('ﬁne  Day', ' FINE\u00a0day\n');
  same('e\u0301tude', '\u00c9TUDE');
  same('ｶﾞｲﾄﾞ', 'ガイド');
  assert.notEqual(normalizeText('ночь'), normalizeText('день'));
});

test('only texts of other records are kept, and they find each other', () => {
  const records = parallel(1000, 'en de');
  records[900]!.query.de = records[3]!.query.en!;
  records[901]!.positive.en = records[4]!.positive.en!;
  const shared = SharedTexts.among(records);
  assert.equal(shared.records, 4);
  const [query, ...noMore] = shared.of(3);
  assert.deepEqual([noMore, [...shared.of(900)], [...shared.of(5)]], [[], [query], []]);
  assert.deepEqual([...shared.holders(query!)], [3, 900]);
  const [positive] = shared.of(4);
  assert.deepEqual([...shared.holders(positive!)], [4, 901]);
  assert.deepEqual([shared.isQuery(query!), shared.isQuery(positive!)], [true, false]);
  assert.deepEqual([shared.askingTheSame(900), shared.askingTheSame(901)], [[900, 3], [901]]);
});

test('texts that the same records have are one: a hundred languages are no more to compare than one', () => {
  const languages = range(100).map((n) => `l${String.fromCharCode(97 + (n % 26), 97 + Math.floor(n / 26))}`);
  const records = parallel(10, languages.join(' '));
  for (const r of records) {
    r.positive = records[0]!.positive;
    r.positiveId = 'same';
  }
  const shared = SharedTexts.among(records);
  assert.deepEqual(
    range(10).map((r) => [...shared.of(r)]),
    range(10).map(() => [0]),
  );
  records[9]!.positive = { ...records[9]!.positive, [languages[7]!]: 'another one' };
  records[8]!.query = records[9]!.query;
  const apart = SharedTexts.among(records);
  assert.deepEqual(
    range(10).map((r) => apart.of(r).length),
    [2, 2, 2, 2, 2, 2, 2, 2, 3, 2],
  );
  for (const text of apart.of(9)) {
    const holders = apart.isQuery(text) ? [8, 9] : range(10);
    assert.deepEqual([...apart.holders(text)], holders);
  }
});

test('a chain of conflicts through a whole large batch is one group, in whatever order it comes', () => {
  const chain = range(20_000).map((i) => ({
    id: `r${i}`,
    query: { en: `query ${Math.floor(i / 2)}` },
    positive: { en: `positive ${Math.floor((i + 1) / 2)}` },
  }));
  const descending = range(10_000).map((i) => 19_999 - 2 * i);
  const order = [...range(10_000).map((i) => 2 * i), ...descending];
  assert.deepEqual(new Set(groupsOfConflict(order, SharedTexts.among(chain))), new Set([0]));
});
