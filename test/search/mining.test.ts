import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RandomStream } from '#xlembed/batches/philox.js';
import { hashText } from '#xlembed/batches/shared_texts.js';
import type { ParallelRecord } from '#xlembed/datasets/records.js';
import type { Embeddings } from '#xlembed/encoding/encoder.js';
import { FlatIndex } from '#xlembed/search/flat_index.js';
import { CandidatePool } from '#xlembed/search/mining/candidates.js';
import { indexCandidates, type MiningCounts, mineNegatives } from '#xlembed/search/mining/mine_negatives.js';
import { type MiningOptions, resolveMiningOptions } from '#xlembed/search/mining/options.js';

const D = 8;

type Role = 'query' | 'passage';

function numbersOf(text: string): number[] {
  const random = new RandomStream(hashText(text, 1), 0);
  return Array.from({ length: D }, () => random.nextUint32() / 2 ** 31 - 1);
}

/** A vector of length 1 for each text, by its hash and its role alone. */
function vectorOf(text: string, role: Role): Float32Array {
  const prompt = numbersOf(role);
  const values = numbersOf(text).map((value, d) => value + 0.3 * prompt[d]!);
  const norm = Math.hypot(...values);
  return Float32Array.from(values, (value) => value / norm);
}

const score = (query: string, passage: string) => {
  const other = vectorOf(passage, 'passage');
  return vectorOf(query, 'query').reduce((sum, value, i) => sum + value * other[i]!, 0);
};

/** Of the embedding, before a comparison by cosine. */
const lengthOf = (text: string) => 1 + (hashText(text, 2) % 7);

const embedder = (similarity: 'cosine' | 'dot') => ({
  model: { similarity },
  async encode(texts: readonly string[], { role }: { role?: Role } = {}): Promise<Embeddings> {
    const data = new Float32Array(texts.length * D);
    texts.forEach((text, row) => {
      const vector = vectorOf(text, role!).map((value) => value * lengthOf(text));
      data.set(vector, row * D);
    });
    const counts = { tokens: 0, truncated: 0, replacedSurrogates: 0, empty: 0 };
    return { data, rows: texts.length, dimensions: D, ...counts };
  },
});

const RECORDS: ParallelRecord[] = Array.from({ length: 300 }, (_, n) => ({
  id: `r${n}`,
  query: { en: `question ${n}`, de: `Frage ${n}` },
  positive: { en: `answer ${n}`, de: `Antwort ${n}`, ...(n % 3 === 0 && { el: `απάντηση ${n}` }) },
}));
const LANGUAGES = ['en', 'de'];

async function mined(
  given: MiningOptions,
  records = RECORDS,
  from = 0,
  similarity: 'cosine' | 'dot' = 'cosine',
): Promise<{ records: ParallelRecord[]; counts: MiningCounts }> {
  const pool = new CandidatePool(records, LANGUAGES);
  const index = FlatIndex.create({ dimensions: D });
  const encoder = embedder(similarity);
  await indexCandidates(encoder, pool, index, () => {});
  const counts = { records: 0, negatives: 0, without: 0, tooNear: 0 };
  const options = resolveMiningOptions(given);
  const found: ParallelRecord[] = [];
  for await (const record of mineNegatives(encoder, records, pool, index, options, counts, from)) {
    found.push(record);
  }
  index.dispose();
  return { records: found, counts };
}

/** Passages of other records by score, best first. */
function ranked(n: number, language: string, spoken: readonly string[]): { text: string; score: number }[] {
  const query = RECORDS[n]!.query[language]!;
  return RECORDS.flatMap(({ positive }, other) => (other === n ? [] : spoken.map((tag) => positive[tag]!)))
    .map((text) => ({ text, score: score(query, text) }))
    .sort((a, b) => b.score - a.score);
}

for (const [language, spoken] of [
  ['same', ['de']],
  ['other', ['en']],
] as const) {
  test(`negatives are those ranks of a plain search: language ${language}`, async () => {
    const { records, counts } = await mined({ ranks: [4, 40], negatives: 3, language });
    assert.deepEqual(counts, { records: 300, negatives: 1800, without: 0, tooNear: 0 });
    for (const n of [0, 7, 150, 299]) {
      const expected = ranked(n, 'de', spoken).slice(3, 6);
      assert.deepEqual(
        records[n]!.negatives![spoken[0]],
        expected.map(({ text }) => text),
      );
      assert.equal(records[n]!.negatives!.el, undefined);
    }
  });
}

test('any language: both searches of a record, no passage twice, no answer of its own', async () => {
  const { records } = await mined({ ranks: [1, 5], negatives: 5, language: 'any' });
  const { negatives } = records[12]!;
  const expected = ['en', 'de'].flatMap((language) =>
    ranked(12, language, ['en', 'de'])
      .slice(0, 5)
      .map(({ text }) => text),
  );
  assert.deepEqual(new Set(Object.values(negatives!).flat()), new Set(expected));
  assert.ok(!Object.values(negatives!).flat().includes('answer 12'));
});

test('a model that compares by inner product is mined by it, every other by cosine', async () => {
  const { records } = await mined({ ranks: [1, 5], negatives: 5 }, RECORDS, 0, 'dot');
  for (const n of [4, 99, 260]) {
    const expected = ranked(n, 'en', ['en'])
      .sort((a, b) => b.score * lengthOf(b.text) - a.score * lengthOf(a.text))
      .slice(0, 5);
    assert.deepEqual(
      records[n]!.negatives!.en,
      expected.map(({ text }) => text),
    );
  }
});

test('answers take no ranks, however near they lie', async () => {
  const near = RECORDS.map((record) => ({ ...record, query: { de: record.positive.de! } }));
  const { records } = await mined({ ranks: [1, 4], negatives: 4 }, near);
  for (const n of [5, 120, 299]) {
    const text = near[n]!.positive.de!;
    const others = RECORDS.flatMap(({ positive }, other) => (other === n ? [] : [positive.de!]));
    const expected = others.sort((a, b) => score(text, b) - score(text, a)).slice(0, 4);
    assert.deepEqual(records[n]!.negatives!.de, expected);
  }
});

test('a margin keeps passages that score far enough below the positive', async () => {
  for (const [given, limitOf] of [
    [{ margin: 0.3 }, (positive: number) => positive - 0.3],
    [{ relativeMargin: 0.5 }, (positive: number) => positive - 0.5 * Math.abs(positive)],
  ] as const) {
    const { records, counts } = await mined({ ranks: [1, 250], negatives: 2, ...given });
    for (let n = 3; n < 300; n += 27) {
      const limit = limitOf(score(`Frage ${n}`, `Antwort ${n}`));
      const expected = ranked(n, 'de', ['de'])
        .slice(0, 250)
        .filter((passage) => passage.score <= limit)
        .slice(0, 2);
      assert.deepEqual(
        records[n]!.negatives?.de ?? [],
        expected.map(({ text }) => text),
      );
    }
    assert.ok(counts.tooNear > 0);
  }
  const { counts } = await mined({ ranks: [2, 9], margin: 3 });
  assert.deepEqual(counts, { records: 300, negatives: 0, without: 600, tooNear: 600 * 8 });
});

test('records that share a query or positive are no negatives of each other; equal passages come once', async () => {
  const records = RECORDS.slice(0, 12).map((record) => structuredClone(record));
  records[1]!.query.de = ' QUESTION 0'; // the question of record 0, in its German column
  records[1]!.query.en = 'question 0';
  records[2]!.positive.de = 'ANTWORT  3';
  const { records: found } = await mined({ ranks: [1, 50], negatives: 50 }, records);
  const of = (n: number, language: string) => found[n]!.negatives![language]!;
  assert.ok(!of(0, 'en').includes('answer 1') && !of(1, 'en').includes('answer 0'));
  assert.ok(!of(2, 'en').includes('answer 3') && !of(3, 'de').includes('ANTWORT  3'));
  assert.equal(of(5, 'de').filter((text) => text.toLowerCase().includes('antwort  3')).length, 1);
  assert.equal(of(5, 'de').length, 10);
  assert.equal(of(5, 'en').length, 11);
});

test('going on from a record gives the rest of the same result', async () => {
  const whole = await mined({ ranks: [2, 9] });
  const rest = await mined({ ranks: [2, 9] }, RECORDS, 271);
  assert.deepEqual(rest.records, whole.records.slice(271));
});

test('negatives that are there stay first', async () => {
  const records = RECORDS.with(0, { ...RECORDS[0]!, negatives: { de: ['Antwort 5'], fr: ['réponse'] } });
  const { records: found } = await mined({ ranks: [1, 3], negatives: 3 }, records);
  assert.equal(found[0]!.negatives!.de![0], 'Antwort 5');
  assert.deepEqual(found[0]!.negatives!.fr, ['réponse']);
});

test('only positives have negatives; a query in another language serves where theirs has none', async () => {
  const { query } = RECORDS[0]!;
  const records = RECORDS.with(0, { id: 'r0', query, positive: { en: 'answer 0' } }).with(1, {
    ...RECORDS[1]!,
    query: { fr: 'question une', es: 'pregunta uno' },
  });
  const { records: found, counts } = await mined({ ranks: [1, 3], negatives: 3 }, records);
  assert.deepEqual(Object.keys(found[0]!.negatives!), ['en']);
  assert.equal(counts.negatives, 300 * 6 - 3);
  const expected = records
    .flatMap(({ positive }, n) => (n === 1 || positive.de === undefined ? [] : [positive.de]))
    .sort((a, b) => score('pregunta uno', b) - score('pregunta uno', a))
    .slice(0, 3);
  assert.deepEqual(found[1]!.negatives!.de, expected);
});

test('wrong options are refused by name', () => {
  const refused: [MiningOptions, RegExp][] = [
    [{ ranks: [5, 4] }, /two ranks.*for ranks, received 5,4/],
    [{ negatives: 0 }, /above 0 for negatives/],
    [{ margin: -1 }, /for margin, received -1/],
    [{ language: 'en' as 'any' }, /same, other or any for language/],
    [{ negative: 3 } as MiningOptions, /^there is no option negative$/],
  ];
  for (const [options, message] of refused) {
    assert.throws(() => resolveMiningOptions(options), { code: 'INVALID_ARGUMENT', message });
  }
});
