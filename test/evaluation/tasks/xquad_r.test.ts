import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { type ErrorCode, XlembedError } from '#xlembed/errors.js';
import { openTask, taskNames } from '#xlembed/evaluation/tasks/registry.js';

const fixture = 'test/evaluation/tasks/fixtures/xquad_r';
let folder = '';
const folders: string[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'xlembed-xquad-'));
  folders.push(folder);
});
after(() => {
  for (const made of folders) rmSync(made, { recursive: true });
});

async function refused(data: string, code: ErrorCode, ...mentions: string[]): Promise<void> {
  await assert.rejects(openTask('xquad_r', { data }), (error) => {
    assert.ok(error instanceof XlembedError, String(error));
    assert.equal(error.code, code);
    for (const mention of mentions) assert.ok(error.message.includes(mention), error.message);
    return true;
  });
}

interface Article {
  paragraphs: {
    qas: { id: string; question: string; answers: { answer_start: number; text: string }[] }[];
    sentences?: string[];
    sentence_breaks?: [number, number][];
  }[];
}

/** The fixture's English file, changed. */
function changedEnglish(change: (data: [Article, Article]) => void): void {
  const file = JSON.parse(readFileSync(join(fixture, 'en.json'), 'utf8')) as { data: [Article, Article] };
  change(file.data);
  writeFileSync(join(folder, 'en.json'), JSON.stringify(file));
}

test('reads plain and packed files into queries, sentences and judgements', async () => {
  assert.equal((await openTask('XQuAD-R', { data: fixture })).name, 'xquad_r');
  const task = await openTask('xquad-r', { data: fixture });
  assert.equal(task.name, 'xquad_r');
  assert.deepEqual(task.languages, ['de', 'el', 'en']);
  assert.deepEqual(
    task.languages.map((language) => [task.queries(language).length, task.candidates(language).length]),
    [
      [5, 5],
      [5, 6],
      [5, 6],
    ],
  );
  assert.deepEqual(task.queries('de')[0], { id: 'mill-year', text: 'Wann wurde die alte Mühle erbaut?' });
  assert.deepEqual(
    task.qrels.get('bee-medal'),
    new Map([
      ['de-1-1', 1],
      ['el-1-2', 1],
      ['en-1-2', 1],
    ]),
  );
});

test('equal sentences keep separate ids', async () => {
  const task = await openTask('xquad_r', { data: fixture });
  const equal = task.candidates('en').filter(({ text }) => text === 'It was built in 1742.');
  assert.deepEqual(
    equal.map(({ id }) => id),
    ['en-0-1', 'en-1-1'],
  );
  assert.equal(task.qrels.get('mill-year')?.get('en-0-1'), 1);
  assert.equal(task.qrels.get('mill-year')?.get('en-1-1'), undefined);
});

test('other files of the folder are left alone', async () => {
  cpSync(fixture, folder, { recursive: true });
  writeFileSync(join(folder, 'LICENSE'), 'text');
  writeFileSync(join(folder, 'dataset_info.json'), '{}');
  assert.deepEqual((await openTask('xquad_r', { data: folder })).languages, ['de', 'el', 'en']);
});

test('an answer that starts at the end of a sentence belongs to the next one', async () => {
  changedEnglish(([mill]) => {
    mill.paragraphs[0]!.sentence_breaks = [
      [0, 38],
      [38, 60],
      [60, 81],
    ];
    mill.paragraphs[0]!.qas[0]!.answers[0]!.answer_start = 38;
  });
  const task = await openTask('xquad_r', { data: folder });
  assert.deepEqual([...task.qrels.get('mill-year')!.keys()], ['en-0-1']);
});

test('an unknown task or language is refused with the known ones', async () => {
  assert.ok(taskNames().includes('xquad_r'));
  await assert.rejects(openTask('toString', { data: fixture }), /one of beir/);
  const task = await openTask('xquad_r', { data: fixture });
  assert.throws(() => task.queries('fr'), /one of de, el, en/);
});

test('a folder that is missing or holds no language is refused', async () => {
  await refused(join(folder, 'none'), 'FILE_NOT_FOUND', 'none');
  await refused(folder, 'TASK_DATA_INVALID', folder, '<language>.json');
});

test('two files of one language are refused', async () => {
  cpSync(fixture, folder, { recursive: true });
  writeFileSync(join(folder, 'en.json.gz'), gzipSync(readFileSync(join(fixture, 'en.json'))));
  await refused(folder, 'TASK_DATA_INVALID', 'one file for en');
});

test('files that are not what they say are refused with their path', async () => {
  const path = join(folder, 'en.json');
  writeFileSync(path, '{"data": [');
  await refused(folder, 'TASK_DATA_INVALID', path, 'JSON');
  writeFileSync(path, Uint8Array.of(0x22, 0xff, 0x22));
  await refused(folder, 'TASK_DATA_INVALID', path, 'UTF-8');
  writeFileSync(path, '{"data": [{"paragraphs": [{"qas": []}]}]}');
  await refused(folder, 'TASK_DATA_INVALID', path, 'data.0.paragraphs.0.sentences');
  rmSync(path);
  writeFileSync(`${path}.gz`, gzipSync('{}').subarray(0, 12));
  await refused(folder, 'FILE_READ_FAILED', `${path}.gz`);
});

test('paragraphs that contradict themselves are refused with the place', async () => {
  changedEnglish(([, bees]) => {
    delete bees.paragraphs[0]!.sentence_breaks;
  });
  await refused(folder, 'TASK_DATA_INVALID', 'en.json', 'data.1.paragraphs.0.sentence_breaks');
  changedEnglish(([, bees]) => {
    bees.paragraphs[0]!.sentence_breaks!.pop();
  });
  await refused(folder, 'TASK_DATA_INVALID', 'paragraph 1', '2 sentence_breaks for 3 sentences');
  changedEnglish(([mill]) => {
    mill.paragraphs[0]!.qas[1]!.answers[0]!.answer_start = 37;
  });
  await refused(folder, 'TASK_DATA_INVALID', 'mill-use', 'answer_start 37');
  changedEnglish(([mill]) => {
    mill.paragraphs[0]!.qas[1]!.answers = [];
  });
  await refused(folder, 'TASK_DATA_INVALID', 'data.0.paragraphs.0.qas.1.answers');
  changedEnglish(([mill]) => {
    mill.paragraphs[0]!.qas[1]!.id = 'mill-year';
  });
  await refused(folder, 'TASK_DATA_INVALID', 'mill-year');
});

test('languages that ask different questions are refused', async () => {
  cpSync(fixture, folder, { recursive: true });
  changedEnglish(([mill]) => {
    mill.paragraphs[0]!.qas.pop();
  });
  await refused(folder, 'TASK_DATA_INVALID', 'en.json', 'none with id mill-river');
});

test('all eleven languages with other than the published counts are refused', async () => {
  for (const language of 'ar de el en es hi ru th tr vi zh'.split(' ')) {
    cpSync(join(fixture, 'en.json'), join(folder, `${language}.json`));
  }
  await refused(folder, 'TASK_DATA_INVALID', 'ar.json', '1190 questions and 1222 sentences', '5 and 6');
});
