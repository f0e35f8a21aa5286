import assert from 'node:assert/strict';
import { test } from 'node:test';
import { XlembedError } from '#xlembed/errors.js';
import { type Embed, type EvaluationProgress, evaluateRetrieval } from '#xlembed/evaluation/evaluate.js';
import type { Qrels } from '#xlembed/evaluation/judgements.js';
import { openTask } from '#xlembed/evaluation/tasks/registry.js';
import type { RetrievalTask } from '#xlembed/evaluation/tasks/task.js';
import { BruteForceIndex } from './brute_force_index.js';

const createIndex = (dimensions: number) => new BruteForceIndex(dimensions);
const fixture = await openTask('xquad_r', { data: 'test/evaluation/tasks/fixtures/xquad_r' });

/** Counts character codes: the same text always gets the same embedding. */
const embedCharacters: Embed = async (texts) => {
  const dimensions = 64;
  const data = new Float32Array(texts.length * dimensions);
  texts.forEach((text, row) => {
    for (const character of text) data[row * dimensions + (character.codePointAt(0)! % dimensions)]! += 1;
  });
  return { data, rows: texts.length, dimensions };
};

/** One direction per question; `miss` sends the queries of one language to the opposite of where they belong. */
function perfectEmbedder(task: RetrievalTask, miss = ''): Embed {
  const questions = [...task.qrels.keys()];
  const spot = new Map<string, number[]>();
  for (const language of task.languages) {
    for (const { id, text } of task.queries(language)) {
      spot.set(`query ${text}`, [questions.indexOf(id), language === miss ? -1 : 1]);
    }
    for (const { id, text } of task.candidates(language)) {
      const question = questions.findIndex((query) => task.qrels.get(query)!.has(id));
      if (question >= 0) spot.set(`passage ${text}`, [question, 1]);
    }
  }
  const dimensions = questions.length + 1;
  return async (texts, role) => {
    const data = new Float32Array(texts.length * dimensions);
    texts.forEach((text, row) => {
      const [question, value] = spot.get(`${role} ${text}`) ?? [questions.length, 1];
      data[row * dimensions + question!] = value!;
    });
    return { data, rows: texts.length, dimensions };
  };
}

/** Every sentence of the fixture answers at most one question here. */
const withoutSharedSentences: RetrievalTask = {
  kind: 'retrieval',
  name: 'small',
  languages: ['de', 'en'],
  queries: (language) => [
    { id: 'a', text: `${language} question a` },
    { id: 'b', text: `${language} question b` },
  ],
  candidates: (language) =>
    ['a', 'b', 'other'].map((name) => ({ id: `${language}-${name}`, text: `${language} ${name}` })),
  qrels: new Map(
    ['a', 'b'].map((name) => [
      name,
      new Map([
        [`de-${name}`, 1],
        [`en-${name}`, 1],
      ]),
    ]),
  ) satisfies Qrels,
};

test('a perfect embedder scores 1 in every setting, with the smallest possible bias', async () => {
  const task = withoutSharedSentences;
  const { measures } = await evaluateRetrieval(task, perfectEmbedder(task), { createIndex });
  for (const setting of ['monolingual', 'cross_lingual', 'multilingual']) {
    for (const name of ['map', 'mrr', 'recall_at_10', 'ndcg_at_10']) {
      assert.equal(measures[`${setting}_${name}`], 1, `${setting}_${name}`);
    }
  }
  assert.equal(measures.monolingual_recall_at_1, 1);
  assert.equal(measures.multilingual_recall_at_1, 1 / 2);
  assert.equal(measures.language_bias, 1);
});

test('an embedder that fails for the queries of one language fails in its cells alone', async () => {
  const task = withoutSharedSentences;
  const { grid, pool, measures } = await evaluateRetrieval(task, perfectEmbedder(task, 'en'), {
    createIndex,
  });
  assert.deepEqual(
    grid.map((cell) => [cell.queryLanguage, cell.passageLanguage, cell.measures.RR]),
    [
      ['de', 'de', 1],
      ['de', 'en', 1],
      ['en', 'de', 1 / 3],
      ['en', 'en', 1 / 3],
    ],
  );
  assert.equal(measures.monolingual_mrr, (1 + 1 / 3) / 2);
  assert.equal(pool[1]!.measures.RR, 1 / 5);
});

test('each language is embedded once per role, in one call, and progress counts texts, then settings', async () => {
  const calls: string[] = [];
  const progress: EvaluationProgress[] = [];
  const embed: Embed = (texts, role) => {
    calls.push(`${role} ${texts.length}`);
    return embedCharacters(texts, role);
  };
  await evaluateRetrieval(fixture, embed, { createIndex, onProgress: (event) => progress.push(event) });
  assert.deepEqual(calls, ['query 5', 'passage 5', 'query 5', 'passage 6', 'query 5', 'passage 6']);
  assert.deepEqual(progress[5], {
    stage: 'embed',
    language: 'en',
    role: 'passage',
    textsDone: 32,
    textsTotal: 32,
  });
  assert.deepEqual(progress.at(-1), { stage: 'rank', settingsDone: 12, settingsTotal: 12 });
  assert.equal(progress.length, 6 + 12);
});

test('equal texts stay separate candidates: the greater id wins their tie', async () => {
  const { grid } = await evaluateRetrieval(fixture, embedCharacters, { createIndex, keepQueryScores: true });
  const english = grid.find((cell) => cell.queryLanguage === 'en' && cell.passageLanguage === 'en')!;
  const { ids, scores } = english.queryScores!;
  const rank = 1 / scores.RR![ids.indexOf('mill-year')]!;
  assert.ok(rank >= 2, 'en-1-1 has the text of the relevant en-0-1 and stands before it');
});

test('a subset of the languages is measured alone', async () => {
  const result = await evaluateRetrieval(fixture, embedCharacters, { createIndex, languages: ['en', 'de'] });
  assert.deepEqual(result.languages, ['de', 'en']);
  assert.equal(result.grid.length, 4);
  assert.deepEqual(result.counts.candidates, { de: 5, en: 6 });
  assert.equal(result.task, 'xquad_r');
  assert.deepEqual(JSON.parse(JSON.stringify(result)), result, 'the result is plain data');
});

test('the same input gives the same result', async () => {
  const run = () => evaluateRetrieval(fixture, embedCharacters, { createIndex });
  assert.deepEqual(await run(), await run());
});

test('a language that the task lacks and embeddings of another shape are refused', async () => {
  const refused = (embed: Embed, languages: string[] | undefined, code: string, mention: string) =>
    assert.rejects(
      evaluateRetrieval(fixture, embed, { createIndex, ...(languages ? { languages } : {}) }),
      (error) => {
        assert.ok(error instanceof XlembedError);
        assert.equal(error.code, code);
        assert.ok(error.message.includes(mention), error.message);
        return true;
      },
    );
  const fewer: Embed = (texts, role) => embedCharacters(texts.slice(1), role);
  const other: Embed = async (texts, role) =>
    role === 'query'
      ? embedCharacters(texts, role)
      : { data: new Float32Array(texts.length), rows: texts.length, dimensions: 1 };
  await refused(embedCharacters, ['en', 'fr'], 'INVALID_ARGUMENT', '"fr"');
  await refused(fewer, undefined, 'DIMENSION_MISMATCH', 'expected 5 x 64');
  await refused(other, undefined, 'DIMENSION_MISMATCH', 'passage texts of de');
});
