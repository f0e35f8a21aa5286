import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { parseRecord } from '#xlembed/datasets/parse_record.js';
import { readRecords } from '#xlembed/datasets/read_records.js';
import { splitRecords } from '#xlembed/datasets/split_records.js';

const folder = await mkdtemp(join(tmpdir(), 'xlembed-records-'));
after(() => rm(folder, { recursive: true }));

async function file(name: string, lines: readonly unknown[]): Promise<string> {
  const path = join(folder, name);
  const text = lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n');
  await writeFile(path, name.endsWith('.gz') ? gzipSync(text) : text);
  return path;
}

const parse = (value: unknown) =>
  parseRecord(
    typeof value === 'string' ? value : JSON.stringify(value),
    'train.jsonl line 17',
    'train.jsonl:17',
  );

test('parallel and flat lines become records', async () => {
  const path = await file('mixed.jsonl', [
    { id: 'q1', query: { en: 'who?', de: 'wer?' }, positive: { en: 'she' }, negatives: { en: ['he', 'it'] } },
    {
      query: 'where?',
      positive: 'here',
      negatives: ['there'],
      query_lang: 'en',
      positive_lang: 'zh-Hant',
      id: 7,
    },
    '',
    { query: 'when?', positive: 'now' },
  ]);
  const { records, counts } = await readRecords(path);
  assert.deepEqual(records, [
    { id: 'q1', query: { en: 'who?', de: 'wer?' }, positive: { en: 'she' }, negatives: { en: ['he', 'it'] } },
    {
      id: '7',
      query: { en: 'where?' },
      positive: { 'zh-Hant': 'here' },
      negatives: { 'zh-Hant': ['there'] },
    },
    { id: 'mixed.jsonl:4', query: { und: 'when?' }, positive: { und: 'now' } },
  ]);
  assert.deepEqual(counts, { records: 3, skipped: 0, ignoredFields: [] });
});

test("a teacher's scores: of the positive, and one for each negative", () => {
  const flat = parse({
    ...{ query: 'q', positive: 'p', positive_lang: 'en', positive_score: 0.9 },
    ...{ negatives: ['n', 'm'], negative_scores: [0.2, -1] },
  });
  assert.deepEqual([flat.positiveScores, flat.negativeScores], [{ en: 0.9 }, { en: [0.2, -1] }]);
  const parallel = parse({
    ...{ query: { en: 'q' }, positive: { en: 'p', de: 'P' }, positive_score: { en: 1, de: 2 } },
    ...{ negatives: { en: ['n'], de: [] }, negative_scores: { en: [0.5], de: [] } },
  });
  assert.deepEqual(parallel.positiveScores, { en: 1, de: 2 });
  assert.deepEqual(parallel.negativeScores, { en: [0.5], de: [] });
  const base = { query: 'q', positive: 'p', negatives: ['n', 'm'] };
  for (const [field, value] of [
    ['positive_score', 'high'],
    ['positive_score', { de: 1 }],
    ['negative_scores', [0.2]],
    ['negative_scores', [0.2, null]],
    ['negative_scores', 3],
  ] as const) {
    assert.throws(
      () => parse({ ...base, [field]: value }),
      new RegExp(`${field}.*line 17|line 17.*${field}`),
    );
  }
});

test('several files, compressed or not, make one data set', async () => {
  const plain = await file('one.jsonl', [{ query: 'a', positive: 'b' }]);
  const packed = await file('two.jsonl.gz', [{ query: 'c', positive: 'd' }]);
  const { records } = await readRecords([plain, packed]);
  assert.deepEqual(
    records.map(({ id }) => id),
    ['one.jsonl:1', 'two.jsonl.gz:1'],
  );
});

const wrong: [string, unknown, string][] = [
  [
    'no JSON',
    '{"query": ',
    'a JSON object for the line in train.jsonl line 17, received "{\\"query\\": " of type string',
  ],
  ['an array', [1], 'a JSON object for the line in train.jsonl line 17, received [1] of type array'],
  [
    'no query',
    { positive: 'p' },
    'a text or {language: text} for query in train.jsonl line 17, received nothing',
  ],
  [
    'empty text',
    { query: '', positive: 'p' },
    'a non-empty text for query in train.jsonl line 17, received "" of type string',
  ],
  [
    'blank text',
    { query: { de: ' \t' }, positive: 'p' },
    'a non-empty text for query.de in train.jsonl line 17, received " \\t" of type string',
  ],
  [
    'number',
    { query: 'q', positive: { en: 3 } },
    'a non-empty text for positive.en in train.jsonl line 17, received 3 of type number',
  ],
  [
    'null',
    { query: null, positive: 'p' },
    'a text or {language: text} for query in train.jsonl line 17, received null of type null',
  ],
  [
    'no language',
    { query: {}, positive: 'p' },
    'at least one language for query in train.jsonl line 17, received {} of type object',
  ],
  [
    'a strange tag',
    '{"query": {"__proto__": "q"}, "positive": "p"}',
    'a language tag for query in train.jsonl line 17, received "__proto__" of type string',
  ],
  [
    'a strange lang',
    { query: 'q', query_lang: 'e n', positive: 'p' },
    'a language tag for query_lang in train.jsonl line 17, received "e n" of type string',
  ],
  [
    'lang beside an object',
    { query: { en: 'q' }, query_lang: 'en', positive: 'p' },
    'a text, as query_lang is given, for query in train.jsonl line 17, received {"en":"q"} of type object',
  ],
  [
    'negatives as text',
    { query: 'q', positive: 'p', negatives: 'n' },
    '[text] or {language: [text]} for negatives in train.jsonl line 17, received "n" of type string',
  ],
  [
    'an empty negative',
    { query: 'q', positive: 'p', negatives: ['n', ''] },
    'a non-empty text for negatives[1] in train.jsonl line 17, received "" of type string',
  ],
  [
    'flat negatives',
    { query: 'q', positive: { en: 'p' }, negatives: ['n'] },
    '{language: [text]}, as positive has languages, for negatives in train.jsonl line 17, received ["n"] of type array',
  ],
  [
    'negatives no array',
    { query: 'q', positive: 'p', negatives: { en: 'n' } },
    'an array of texts for negatives.en in train.jsonl line 17, received "n" of type string',
  ],
  [
    'id',
    { id: 1.5, query: 'q', positive: 'p' },
    'a non-empty text or an integer for id in train.jsonl line 17, received 1.5 of type number',
  ],
];
for (const [name, value, message] of wrong) {
  test(`a malformed line: ${name}`, () => {
    assert.throws(() => parse(value), { code: 'MALFORMED_LINE', message: `expected ${message}` });
  });
}

test('a long value is cut in the message', () => {
  assert.throws(
    () => parse({ query: 'q', positive: [`${'x'.repeat(10_000)}`] }),
    (error: Error) => error.message.length < 250 && error.message.includes('…'),
  );
});

test('fail names file and line; skip counts and says why', async () => {
  const path = await file('bad.jsonl', [
    { query: 'a', positive: 'b' },
    'nonsense',
    { query: 'c', positive: '' },
  ]);
  await assert.rejects(readRecords(path), { code: 'MALFORMED_LINE', message: new RegExp(`${path} line 2`) });
  const { records, counts } = await readRecords(path, { onMalformed: 'skip' });
  assert.equal(records.length, 1);
  assert.equal(counts.skipped, 2);
  assert.match(counts.firstSkipped ?? '', /bad\.jsonl line 2, received "nonsense"/);
});

test('a line that is not UTF-8 is malformed', async () => {
  const path = join(folder, 'latin.jsonl');
  await writeFile(
    path,
    Buffer.concat([Buffer.from('{"query":"a","positive":"'), Buffer.from([0xe9]), Buffer.from('"}\n')]),
  );
  await assert.rejects(readRecords(path), {
    code: 'MALFORMED_LINE',
    message: /expected UTF-8 for the line in .* line 1/,
  });
});

test('a repeated id names both lines', async () => {
  const first = await file('first.jsonl', [{ id: 'x', query: 'a', positive: 'b' }]);
  const second = await file('second.jsonl', [
    { id: 'y', query: 'a', positive: 'b' },
    { id: 'x', query: 'c', positive: 'd' },
  ]);
  await assert.rejects(readRecords([first, second]), {
    code: 'MALFORMED_LINE',
    message: `expected every id once, received "x" in ${first} line 1 and again in ${second} line 2`,
  });
});

test('fields that mean nothing here are named', async () => {
  const path = await file('extra.jsonl', [
    { query: 'a', positive: 'b', negatives: ['n'], negative: 'm', source: 1 },
  ]);
  assert.deepEqual((await readRecords(path)).counts.ignoredFields, ['negative', 'source']);
});

test('a field under the name that other tools give it is refused, not passed over', async () => {
  for (const [name, meant] of [
    ['negative', 'negatives'],
    ['negative_2', 'negatives'],
    ['neg', 'negatives'],
    ['query_language', 'query_lang'],
    ['neg_scores', 'negative_scores'],
    ['anchor', 'query'],
    ['sentence2', 'positive'],
    ['pos', 'positive'],
  ]) {
    const fields: Record<string, string> = { query: 'a', positive: 'b', [name!]: 'n' };
    delete fields[meant!];
    const path = await file('elsewhere.jsonl', [fields]);
    await assert.rejects(readRecords(path), {
      code: 'MALFORMED_LINE',
      message: `expected the name ${meant}, received ${name} in ${path} line 1`,
    });
  }
});

test('what is no JSON lines of records is named with what makes some of it', async () => {
  for (const [first, hint] of [
    ['[', /^write one object a line: .*jq -c '\.\[\]' FILE/],
    ['[{"query": "a", "positive": "b"}]', /^write one object a line: /],
    ['["a", "b"]', /^give the texts names, for example: jq -c '\{query: \.\[0\], positive: \.\[1\]\}' FILE/],
    ['{', /^write each object on one line, as jq -c \. FILE does/],
    [
      '{"query": "a", "positive_score": NaN}',
      /^Unexpected token .*: mend the line, or have such lines skipped/,
    ],
    [
      '{"english": "a", "non_english": "b"}',
      /^call its texts query and positive: it has english, non_english, or/,
    ],
    ['{}', /it has no fields/],
  ] as const) {
    const path = await file('other.jsonl', [first, '']);
    await assert.rejects(readRecords(path), { code: 'MALFORMED_LINE', hint });
  }
});

test('nothing to read is an error', async () => {
  const empty = await file('empty.jsonl', ['', '  ']);
  await assert.rejects(readRecords(empty), { code: 'EMPTY_DATASET', message: `no record in ${empty}` });
  const bad = await file('allbad.jsonl', ['x']);
  await assert.rejects(readRecords(bad, { onMalformed: 'skip' }), {
    code: 'EMPTY_DATASET',
    message: /1 malformed/,
  });
  await assert.rejects(readRecords(join(folder, 'missing.jsonl')), { code: 'FILE_NOT_FOUND' });
});

test('a split is the same in any order and company, and near its share', () => {
  const records = Array.from({ length: 2000 }, (_, n) => ({
    id: `r${n}`,
    query: { en: 'q' },
    positive: { en: 'p' },
  }));
  const { train, test: held } = splitRecords(records, { testShare: 0.2, seed: 1 });
  assert.equal(train.length + held.length, 2000);
  assert.ok(Math.abs(held.length - 400) < 60, `${held.length} held out`);
  const ids = new Set(held.map(({ id }) => id));
  const alone = splitRecords(records.slice(500).reverse(), { testShare: 0.2, seed: 1 });
  for (const { id } of alone.test) assert.ok(ids.has(id));
  for (const { id } of alone.train) assert.ok(!ids.has(id));
  const other = splitRecords(records, { testShare: 0.2, seed: 2 });
  assert.notDeepEqual(other.test, held);
  assert.equal(splitRecords(records, { testShare: 0, seed: 1 }).test.length, 0);
  assert.equal(splitRecords(records, { testShare: 1, seed: 1 }).train.length, 0);
  assert.throws(() => splitRecords(records, { testShare: Number.NaN, seed: 1 }), {
    code: 'INVALID_ARGUMENT',
  });
});
