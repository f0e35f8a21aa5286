import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { openTask, taskEntries, taskEntry, taskNames } from '#xlembed/evaluation/tasks/registry.js';
import type { BitextTask, CollectionTask, SimilarityTask } from '#xlembed/evaluation/tasks/task.js';

const root = mkdtempSync(join(tmpdir(), 'xlembed-tasks-'));
after(() => rmSync(root, { recursive: true }));
let folders = 0;

/** A folder with these files; a name that ends in .gz is packed. */
function folder(files: Record<string, string>): string {
  const made = join(root, String(folders++));
  mkdirSync(made);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(made, name)), { recursive: true });
    writeFileSync(join(made, name), name.endsWith('.gz') ? gzipSync(text) : text);
  }
  return made;
}
const lines = (count: number, text: (i: number) => string) =>
  Array.from({ length: count }, (_, i) => `${text(i)}\n`).join('');
const json = (value: object) => `${JSON.stringify(value)}\n`;

test('missing data is a coded error with the layout and the command that fetches it, for every task', async () => {
  for (const { name, download, source, title } of taskEntries()) {
    assert.ok(download && source && title);
    for (const data of [join(root, 'nowhere'), folder({ README: 'nothing here' })]) {
      await assert.rejects(openTask(name, { data }), (error: { code: string; hint: string }) => {
        assert.match(error.code, /FILE_NOT_FOUND|TASK_DATA_INVALID/, name);
        return error.hint.includes(download);
      });
    }
  }
  assert.equal(new Set(taskNames()).size, taskEntries().length);
});

test('MLQA-R counts its published files and joins what questions they share; every sentence with an answer counts', async () => {
  const paragraph = (id: string) => ({
    sentences: ['It was built.', 'Rebuilt, too.', 'It is there.'],
    sentence_breaks: [
      [0, 14],
      [14, 28],
      [28, 40],
    ],
    qas: [{ id, question: 'When?', answers: [{ answer_start: 3 }, { answer_start: 14 }] }],
  });
  const file = (ids: string[]) => JSON.stringify({ data: [{ paragraphs: ids.map(paragraph) }] });
  const task = await openTask('mlqa-r', {
    data: folder({ 'xa.json': file(['a', 'b']), 'xb.json': file(['b', 'c']) }),
  });
  assert.deepEqual([...task.qrels.get('b')!.keys()], ['xa-1-0', 'xa-1-1', 'xb-0-0', 'xb-0-1']);
  assert.equal(task.qrels.get('a')!.size, 2);
  await assert.rejects(
    openTask('mlqa-r', { data: folder({ 'de.json': file(['a']) }) }),
    /512 questions and 2362 sentences.*1 and 3/,
  );
});

test('Belebele: questions by link and number, passages by link, in every language', async () => {
  const file = (passages: number) =>
    lines(900, (i) =>
      JSON.stringify({
        link: `https://example.org/${i % passages}`,
        question_number: Math.floor(i / passages) + 1,
        flores_passage: `passage ${i % passages}`,
        question: `question ${i}`,
      }),
    );
  const data = folder({ 'eng_Latn.jsonl': file(488), 'zho_Hans.jsonl.gz': file(488) });
  const task = await openTask('belebele', { data });
  assert.deepEqual(task.languages, ['eng_Latn', 'zho_Hans']);
  assert.deepEqual(
    [...task.qrels.get('https://example.org/7#1')!.keys()],
    ['https://example.org/7@eng_Latn', 'https://example.org/7@zho_Hans'],
  );
  await assert.rejects(
    openTask('belebele', { data: folder({ 'eng_Latn.jsonl': file(400) }) }),
    /900 questions on 400 passages/,
  );
});

test('Belebele: a question that a language has twice on a passage is asked once there, as in MTEB', async () => {
  const file = (question: (i: number) => string) =>
    lines(900, (i) => {
      const [link, number] = [`https://example.org/${i % 488}`, Math.floor(i / 488) + 1];
      const flores_passage = `passage ${i % 488}`;
      return JSON.stringify({ link, question_number: number, flores_passage, question: question(i) });
    });
  const data = folder({
    'ary_Arab.jsonl': file((i) => (i % 488 < 2 ? `question ${i % 2}` : `question ${i}`)),
    'eng_Latn.jsonl': file((i) => `question ${i}`),
  });
  const task = await openTask('belebele', { data });
  assert.deepEqual([task.queries('ary_Arab').length, task.queries('eng_Latn').length], [898, 900]);
  assert.equal(task.qrels.get('https://example.org/1#2')!.get('https://example.org/1@ary_Arab'), 1);
});

test('MKQA: equal answers are one candidate; questions without a short answer are not asked', async () => {
  const data = folder({
    'mkqa-en.jsonl':
      json({ id: '1_en', question: 'who?', answers: ['Ada', 'Lovelace'] }) +
      json({ id: '2_en', question: 'who else?', answers: ['Ada'] }),
    'mkqa-zh_cn.jsonl': json({ id: '1_zh_cn', question: '谁?', answers: ['埃达', 'Ada'] }),
  });
  const task = await openTask('mkqa', { data });
  assert.deepEqual(task.languages, ['en', 'zh-cn']);
  assert.deepEqual(
    task.candidates('en').map(({ text }) => text),
    ['Ada', 'Lovelace'],
  );
  assert.deepEqual([...task.qrels.get('1')!.keys()], ['en-0', 'en-1', 'zh-cn-0', 'zh-cn-1']);
  assert.deepEqual([...task.qrels.get('2')!.keys()], ['en-0']);
  assert.equal(taskEntry('mkqa').mteb, undefined, 'MTEB merges equal questions');
});

test('MKQA as its authors publish it', async () => {
  const answers = {
    en: [{ type: 'entity', text: 'Ada', aliases: ['A'] }],
    zh_cn: [{ type: 'long_answer', text: null }],
  };
  const line = (i: number) =>
    JSON.stringify({ example_id: 2 ** 60 + i * 256, queries: { en: `q${i}`, zh_cn: `问${i}` }, answers });
  const task = await openTask('mkqa', { data: folder({ 'mkqa.jsonl.gz': lines(10_000, line) }) });
  assert.deepEqual(
    task.languages.map((language) => task.queries(language).length),
    [10_000, 0],
  );
  await assert.rejects(
    openTask('mkqa', { data: folder({ 'mkqa.jsonl': lines(3, line) }) }),
    /10000 questions.*received 3/,
  );
});

async function passagesOf(task: CollectionTask, language: string) {
  const collection = await task.open(language);
  const passages = [];
  for await (const passage of collection.passages()) passages.push(passage);
  return { ...collection, passages };
}

test('BEIR: an id that JSON rounds is refused, as no judgement would find it', async () => {
  const data = folder({
    'corpus.jsonl': '{"_id": 9007199254740993, "text": "a"}\n',
    'queries.jsonl': json({ _id: 'q1', text: 'a' }),
    'qrels/test.tsv': 'query-id\tcorpus-id\tscore\nq1\t9007199254740993\t1\n',
  });
  const task = (await openTask('beir', { data })) as CollectionTask;
  await assert.rejects(passagesOf(task, 'en'), {
    code: 'MALFORMED_LINE',
    message: /a text for _id in .*corpus\.jsonl line 1/,
    hint: /^write it as a text/,
  });
});

test('BEIR: judgements of other passages are refused, a query that comes twice is asked once', async () => {
  const files = {
    'corpus.jsonl': json({ _id: 'd1', text: 'a' }),
    'queries.jsonl': json({ _id: 'q1', text: 'a' }),
    'qrels/test.tsv': 'query-id\tcorpus-id\tscore\nq1\tdoc-1\t1\n',
  };
  const other = (await openTask('beir', { data: folder(files) })) as CollectionTask;
  await assert.rejects(passagesOf(other, 'en'), {
    code: 'TASK_DATA_INVALID',
    message:
      /^expected passages that the qrels name in .*corpus\.jsonl, received none, for example no doc-1$/,
  });
  const queries = json({ _id: 'q1', text: 'a' }) + json({ _id: 'q1', text: 'b' });
  const qrels = 'q1\td1\t1\n';
  const twice = folder({ ...files, 'queries.jsonl': queries, 'qrels/test.tsv': qrels });
  const { queries: asked } = await passagesOf(
    (await openTask('beir', { data: twice })) as CollectionTask,
    'en',
  );
  assert.deepEqual(asked, [{ id: 'q1', text: 'b' }]);
});

test('BEIR: titles stand before texts; queries are asked where they are judged, if only not relevant', async () => {
  const data = folder({
    'corpus.jsonl':
      json({ _id: 'd1', title: 'Bees ', text: ' They fly. ' }) +
      json({ _id: 'd2', title: '', text: ' Mills.' }),
    'queries.jsonl': ['q1', 'q2', 'q3'].map((_id) => json({ _id, text: `text of ${_id}` })).join(''),
    'qrels/test.tsv': 'query-id\tcorpus-id\tscore\nq1\td1\t1\nq3\td2\t0\n',
  });
  const { queries, passages, ignoreOwnId } = await passagesOf(
    (await openTask('beir', { data })) as CollectionTask,
    'en',
  );
  assert.deepEqual(queries, [
    { id: 'q1', text: 'text of q1' },
    { id: 'q3', text: 'text of q3' },
  ]);
  assert.deepEqual(passages, [
    { id: 'd1', text: 'Bees   They fly.' },
    { id: 'd2', text: 'Mills.' },
  ]);
  assert.equal(ignoreOwnId, true);
});

test('MIRACL: topics, judgements and passages in their published places and numbers', async () => {
  const place = 'miracl-v1.0-yo';
  const data = folder({
    [`${place}/topics/topics.miracl-v1.0-yo-dev.tsv`]: lines(119, (i) => `${i}#0\tìbéèrè ${i}`),
    [`${place}/qrels/qrels.miracl-v1.0-yo-dev.tsv`]: lines(119, (i) => `${i}#0\tQ0\td${i}\t1`),
    'miracl-corpus-v1.0-yo/docs-0.jsonl.gz': lines(40_000, (i) =>
      JSON.stringify({ docid: `d${i}`, title: 't', text: 'x' }),
    ),
    'miracl-corpus-v1.0-yo/docs-1.jsonl.gz': lines(9043, (i) =>
      JSON.stringify({ docid: `e${i}`, title: 't', text: 'x' }),
    ),
    'miracl-corpus-v1.0-sw/docs-0.jsonl.gz': '',
  });
  const task = (await openTask('miracl', { data })) as CollectionTask;
  assert.deepEqual(task.languages, ['sw', 'yo']);
  const { queries, passages, published } = await passagesOf(task, 'yo');
  assert.equal(queries.length, 119);
  assert.deepEqual([passages.length, published], [49_043, 49_043]);
  assert.equal(passages.at(-1)!.id, 'e9042');
  await assert.rejects(task.open('sw'), { code: 'TASK_DATA_INVALID' });
});

test('a collection that lost passages is noticed at its end', async () => {
  const data = folder({
    'mrtydi-v1.1-bengali/ir-format-data/topics.test.txt': lines(111, (i) => `${i}\tq`),
    'mrtydi-v1.1-bengali/ir-format-data/qrels.test.txt': '5 Q0 d0 1\n',
    'mrtydi-v1.1-bengali/corpus.jsonl.gz': json({ docid: 'd0', title: 'a', text: 'b' }),
  });
  const task = (await openTask('mr-tydi', { data })) as CollectionTask;
  assert.equal((await task.open('bn')).queries.length, 1);
  await assert.rejects(passagesOf(task, 'bn'), /304059 passages.*received 1/);
});

const pairsOf = (task: BitextTask) => task.pairs.map(({ source, target }) => `${source}-${target}`);

test('FLORES and NTREX: all pairs of their languages, sentence by line', async () => {
  const flores = (await openTask('flores', {
    data: folder({
      'devtest/eng_Latn.devtest': lines(1012, (i) => `sentence ${i}`),
      'devtest/deu_Latn.devtest': lines(1012, (i) => `Satz ${i}`),
      'devtest/ell_Grek.devtest': lines(1011, (i) => `πρόταση ${i}`),
    }),
  })) as BitextTask;
  assert.deepEqual(pairsOf(flores), ['deu_Latn-ell_Grek', 'deu_Latn-eng_Latn', 'ell_Grek-eng_Latn']);
  assert.equal(flores.pivot, 'eng_Latn');
  const { ids, source, target } = await flores.pairs[1]!.read();
  assert.deepEqual([ids[11], source[11], target[11]], ['12', 'Satz 11', 'sentence 11']);
  await assert.rejects(flores.pairs[0]!.read(), /1012 lines.*ell_Grek.*received 1011/);
  const ntrex = (await openTask('ntrex', {
    data: folder({
      'NTREX-128/newstest2019-src.eng.txt': 'a\n',
      'NTREX-128/newstest2019-ref.aze-Latn.txt': 'b\n',
      'NTREX-128/newstest2019-ref-2.spa.txt': 'c\n',
      'NTREX-128/newstest2019-ref.zho_Hans.txt': 'd\n',
    }),
  })) as BitextTask;
  assert.deepEqual(ntrex.languages, ['aze-Latn', 'eng', 'spa-2', 'zho_Hans']);
});

test('Tatoeba: both sides of each language, in their published numbers', async () => {
  const files = (language: string, count: number) => ({
    [`tatoeba.${language}-eng.${language}`]: lines(count, (i) => `x ${i}`),
    [`tatoeba.${language}-eng.eng`]: lines(count, (i) => `y ${i}`),
  });
  const task = (await openTask('tatoeba', {
    data: folder({ ...files('deu', 1000), ...files('tzl', 104), ...files('swg', 9) }),
  })) as BitextTask;
  assert.deepEqual(pairsOf(task), ['deu-eng', 'swg-eng', 'tzl-eng']);
  assert.deepEqual((await task.pairs[2]!.read()).ids.slice(0, 2), ['tzl-eng 1', 'tzl-eng 2']);
  await assert.rejects(task.pairs[1]!.read(), /112 lines.*received 9/);
});

test('a folder of translations: tables and pairs of files', async () => {
  const data = folder({
    'deu-eng.tsv.gz': 'Guten Tag\tGood day\tmore\n',
    'Europarl.el-en.el': 'Καλημέρα\n',
    'Europarl.el-en.en': 'Good morning\n',
  });
  const task = (await openTask('bitext', { data })) as BitextTask;
  assert.deepEqual(pairsOf(task), ['el-en', 'deu-eng']);
  assert.deepEqual(await task.pairs[1]!.read(), {
    ids: ['deu-eng 1'],
    source: ['Guten Tag'],
    target: ['Good day'],
  });
  await assert.rejects(openTask('bitext', { data: folder({ 'a.de-en.de': 'x\n' }) }), /a.de-en.en/);
  const broken = (await openTask('bitext', {
    data: folder({ 'de-en.tsv': 'only one side\n' }),
  })) as BitextTask;
  await assert.rejects(broken.pairs[0]!.read(), { code: 'MALFORMED_LINE' });
});

test('languages in the names of files may have a script or a region, after a hyphen too', async () => {
  const graded = json({ sentence1: 'a', sentence2: 'b', score: 1 });
  const names = ['zh-CN', 'pt_BR', 'zho_Hans', 'es-419', 'en-zh-Hant-TW', 'pt-BR-en', 'sts17.fr-en'];
  const sets = folder(Object.fromEntries(names.map((name) => [`${name}.jsonl`, graded])));
  const similarity = (await openTask('sts', { data: sets })) as SimilarityTask;
  assert.deepEqual(similarity.sets.map(({ source, target }) => `${source} ${target}`).sort(), [
    ...['en zh-Hant-TW', 'es-419 es-419', 'fr en', 'pt-BR en', 'pt_BR pt_BR', 'zh-CN zh-CN'],
    'zho_Hans zho_Hans',
  ]);
  const data = folder({
    'zh-CN-en.tsv': 'a\tb\n',
    'News.en-pt-BR.en': 'a\n',
    'News.en-pt-BR.pt-BR': 'b\n',
  });
  const task = (await openTask('bitext', { data })) as BitextTask;
  assert.deepEqual(pairsOf(task).sort(), ['en-pt-BR', 'zh-CN-en']);
});

test('graded pairs: JSON lines and tables, within and across languages', async () => {
  const pair = (score: number) => ({ sentence1: 'a', sentence2: 'b', score });
  const data = folder({
    'de.jsonl': json(pair(1)) + json(pair(4.5)),
    'en-de.tsv': 'a\tb\t3\nc\td\t0\n',
    'fr.jsonl': json(pair(1)),
  });
  const task = (await openTask('sts', { data })) as SimilarityTask;
  assert.deepEqual(
    task.sets.map(({ source, target }) => [source, target]),
    [
      ['de', 'de'],
      ['en', 'de'],
      ['fr', 'fr'],
    ],
  );
  assert.deepEqual((await task.sets[0]!.read()).grades, [1, 4.5]);
  assert.deepEqual((await task.sets[1]!.read()).second, ['b', 'd']);
  await assert.rejects(task.sets[2]!.read(), /two or more pairs/);
  for (const score of ['high', '', ' ']) {
    const table = `a\tb\t1\nc\td\t${score}\n`;
    const bad = (await openTask('sts', { data: folder({ 'de.tsv': table }) })) as SimilarityTask;
    await assert.rejects(bad.sets[0]!.read(), { code: 'MALFORMED_LINE' });
  }
});
