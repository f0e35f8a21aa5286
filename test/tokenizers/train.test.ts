import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readUdhr } from '#xlembed/datasets/udhr.js';
import { TokenizerPool } from '#xlembed/tokenizers/tokenizer_pool.js';
import { trainTokenizer } from '#xlembed/tokenizers/train.js';
import { rowsOf } from './goldens.js';

const work = await mkdtemp(join(tmpdir(), 'xlembed-train-test-'));
after(() => rm(work, { recursive: true }));
const languages = ['en', 'ar', 'zh', 'de', 'es', 'ru', 'th', 'tr', 'hi', 'el', 'vi'];
const records = await readUdhr(languages);
const texts = records.flatMap(({ query, positive }) => [...Object.values(query), ...Object.values(positive)]);

test('the same texts give the same file, byte for byte', async () => {
  const [one, two] = [join(work, 'one.json'), join(work, 'two.json')];
  const sizes = [await trainTokenizer(texts, one), await trainTokenizer(texts, two)];
  assert.equal(sizes[0], sizes[1]);
  assert.equal(await readFile(one, 'utf8'), await readFile(two, 'utf8'));
  assert.deepEqual((await readdir(work)).sort(), ['one.json', 'two.json'], 'nothing half-written is left');
});

test("ids are in XLM-R's order, and the training text has no unknown", async () => {
  const path = join(work, 'tokenizer.json');
  const size = await trainTokenizer(texts, path, { vocabularySize: 4000 });
  assert.equal(size, 4000);
  const tokenizer = await TokenizerPool.open(path, { maxTokens: 512, threads: 1 });
  const tokens = await tokenizer.tokenize([
    ...texts,
    '<s> <pad> </s> <unk> <mask>',
    '\u{1F9FF}',
    'RIGHTS, rights,',
  ]);
  await tokenizer.close();
  assert.deepEqual([tokenizer.vocabularySize, tokenizer.padId, tokenizer.unkId], [4000, 1, 3]);
  const rows = rowsOf(tokens);
  const [upper, unknown, special] = [rows.pop()!, rows.pop()!, rows.pop()!];
  assert.deepEqual(special, [0, 0, 1, 2, 3, 3999, 2]);
  assert.equal(unknown.at(-2), 3);
  assert.deepEqual(
    upper.slice(1, 3),
    upper.slice(3, 5),
    'case is folded and the comma is a piece of its own',
  );
  assert.equal(upper.length, 6);
  for (const ids of rows) assert.ok(!ids.includes(3));
  const perText = tokens.inputIds.length / rows.length;
  assert.ok(perText < 60, `${perText} pieces a text: sensible pieces are longer than characters`);
});

test('case is kept when asked; every character has an id however small the vocabulary', async () => {
  const path = join(work, 'cased.json');
  const size = await trainTokenizer(['Ab ba', '人\u00a0人 \ud800'], path, {
    vocabularySize: 1,
    lowercase: false,
  });
  const json = JSON.parse(await readFile(path, 'utf8'));
  assert.deepEqual(
    new Set(Object.keys(json.model.vocab)),
    new Set(['<s>', '<pad>', '</s>', '<unk>', '<mask>', '▁', 'A', 'b', 'a', '人', '\ufffd']),
  );
  assert.equal(size, 11);
});

test('training writes nothing to the terminal', () => {
  const program = `
    import { trainTokenizer } from '#xlembed/tokenizers/train.js';
    await trainTokenizer(['one two', 'two three'], ${JSON.stringify(join(work, 'quiet.json'))});`;
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', program]);
  assert.deepEqual([status, stdout.toString(), stderr.toString()], [0, '', '']);
});

test('nothing to train on, nowhere to write, and a size that is none are coded errors', async () => {
  const path = join(work, 'never.json');
  await assert.rejects(trainTokenizer([], path), { code: 'EMPTY_DATASET' });
  await assert.rejects(trainTokenizer([' ', '\n'], path), { code: 'EMPTY_DATASET' });
  await assert.rejects(trainTokenizer(['a'], join(work, 'none/never.json')), { code: 'FILE_WRITE_FAILED' });
  await assert.rejects(trainTokenizer(['a'], path, { vocabularySize: 0 }), { code: 'INVALID_ARGUMENT' });
  const { TMPDIR } = process.env;
  process.env.TMPDIR = join(work, 'none');
  const untried = trainTokenizer(['a'], path);
  if (TMPDIR === undefined) delete process.env.TMPDIR;
  else process.env.TMPDIR = TMPDIR;
  await assert.rejects(untried, { code: 'FILE_WRITE_FAILED', hint: /TMPDIR/ });
});
