import assert from 'node:assert/strict';
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import os, { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, test } from 'node:test';
import { processorQuota } from '#xlembed/processors.js';
import { TokenizerPool } from '#xlembed/tokenizers/tokenizer_pool.js';
import { folder, goldens, rowsOf } from './goldens.js';

const work = await mkdtemp(join(tmpdir(), 'xlembed-tokenizers-'));
after(() => rm(work, { recursive: true }));
for (const [name, config] of Object.entries({ cased: { do_lower_case: false }, uncased: {} })) {
  const path = join(work, name);
  await mkdir(path);
  await copyFile(`${folder}/wordpiece/vocab.txt`, join(path, 'vocab.txt'));
  await writeFile(join(path, 'tokenizer_config.json'), JSON.stringify(config));
}

// What transformers' BertTokenizer makes of a tokenizer.json does not depend on the normaliser that the file names.
const file = JSON.parse(await readFile(`${folder}/wordpiece/tokenizer.json`, 'utf8'));
const beside: Record<string, { lowercase: boolean; tokenizer_config?: object; config?: object }> = {
  'a class alone': { lowercase: false, tokenizer_config: { tokenizer_class: 'BertTokenizerFast' } },
  'a model type alone': { lowercase: false, config: { model_type: 'distilbert' } },
  'a model type, cased': {
    lowercase: true,
    config: { model_type: 'bert' },
    tokenizer_config: { do_lower_case: false },
  },
  'another class': {
    lowercase: false,
    config: { model_type: 'bert' },
    tokenizer_config: { tokenizer_class: 'PreTrainedTokenizerFast', do_lower_case: true },
  },
};
for (const [name, { lowercase, ...files }] of Object.entries(beside)) {
  const path = join(work, name);
  await mkdir(path);
  const json = { ...file, normalizer: { ...file.normalizer, lowercase } };
  await writeFile(join(path, 'tokenizer.json'), JSON.stringify(json));
  for (const [kind, content] of Object.entries(files))
    await writeFile(join(path, `${kind}.json`), JSON.stringify(content));
}

// As the tokenizers library wrote files before it named the model's type.
for (const kind of ['unigram', 'wordpiece']) {
  const json = JSON.parse(await readFile(`${folder}/${kind}/tokenizer.json`, 'utf8'));
  const path = join(work, `${kind} without a type`);
  await mkdir(path);
  const model = { ...json.model, type: undefined };
  await writeFile(join(path, 'tokenizer.json'), JSON.stringify({ ...json, model }));
}

/** Every way to open a tokenizer, and the pipeline of the goldens that it must equal. */
const routes: [string, string][] = [
  [`${folder}/unigram`, 'unigram'],
  [`${folder}/unigram/tokenizer.json`, 'unigram'],
  [`${folder}/unigram/sentencepiece.bpe.model`, 'unigram'],
  [`${folder}/wordpiece`, 'wordpiece'],
  [`${folder}/wordpiece/vocab.txt`, 'wordpiece'],
  [join(work, 'uncased'), 'wordpiece'],
  [join(work, 'cased'), 'wordpiece_cased'],
  [join(work, 'unigram without a type'), 'unigram'],
  [join(work, 'wordpiece without a type'), 'wordpiece'],
  [join(work, 'a class alone'), 'wordpiece'],
  [join(work, 'a model type alone'), 'wordpiece'],
  [join(work, 'a model type, cased'), 'wordpiece_cased'],
  [join(work, 'another class'), 'wordpiece_cased'],
];

for (const [path, pipeline] of routes) {
  const { whole, cut, vocabulary_size } = goldens.pipelines[pipeline]!;

  test(`${path.replace(work, 'folder')}: ids of Hugging Face for every text`, async () => {
    const tokenizer = await TokenizerPool.open(path, { maxTokens: 100_000, threads: 2 });
    const tokens = await tokenizer.tokenize(goldens.texts);
    await tokenizer.close();
    assert.deepEqual(rowsOf(tokens), whole);
    assert.equal(tokens.truncated, 0);
    assert.equal(tokens.empty, whole.filter((ids) => ids.length === 2).length);
    assert.ok(tokens.empty > 3, 'the goldens hold texts without a token');
    assert.equal(tokenizer.vocabularySize, vocabulary_size);
    assert.equal(tokenizer.specialTokens, 2);
  });

  test(`${path.replace(work, 'folder')}: cut as Hugging Face cuts`, async () => {
    for (const length of goldens.lengths) {
      const tokenizer = await TokenizerPool.open(path, { maxTokens: length, threads: 1 });
      const tokens = await tokenizer.tokenize(goldens.texts);
      await tokenizer.close();
      assert.deepEqual(
        rowsOf(tokens),
        whole.map((ids, row) => cut[length]![row] ?? ids),
        `at most ${length} tokens`,
      );
      assert.equal(tokens.truncated, whole.filter((ids) => ids.length > length).length);
    }
  });
}

interface AddedTokens {
  texts: string[];
  cases: { name: string; source: string; files: Record<string, unknown>; ids: number[][] }[];
}

/** Made by test/reference/added_tokens.py. */
const { texts: addedTexts, cases: addedCases } = JSON.parse(
  await readFile('test/reference/added_tokens.json', 'utf8'),
) as AddedTokens;

async function withFiles(source: string, files: Record<string, unknown>): Promise<string> {
  const path = await mkdtemp(join(work, 'added-'));
  await copyFile(`${folder}/${source}`, join(path, basename(source)));
  for (const [name, content] of Object.entries(files))
    await writeFile(join(path, name), JSON.stringify(content));
  return path;
}

for (const { name, source, files, ids } of addedCases) {
  test(`${source}, tokens that only ${name} names: ids of transformers`, async () => {
    const tokenizer = await TokenizerPool.open(await withFiles(source, files), { maxTokens: 64, threads: 1 });
    const tokens = await tokenizer.tokenize(addedTexts);
    await tokenizer.close();
    assert.deepEqual(rowsOf(tokens), ids);
  });
}

test('an added token that cannot have its id is refused', async () => {
  const path = await withFiles('wordpiece/tokenizer.json', { 'added_tokens.json': { '[URL]': 2210 } });
  await assert.rejects(TokenizerPool.open(path, { maxTokens: 64, threads: 1 }), {
    code: 'TOKENIZER_INVALID',
    message:
      /the added token "\[URL\]" with the id 2210 in .*tokenizer\.json, received none, and 2200 as its id/,
  });
});

test('a token added to a SentencePiece file without tokenizer.json is refused', async () => {
  const source = 'unigram/sentencepiece.bpe.model';
  const path = await withFiles(source, { 'tokenizer_config.json': { extra_special_tokens: ['[URL]'] } });
  await assert.rejects(TokenizerPool.open(path, { maxTokens: 64, threads: 1 }), {
    code: 'TOKENIZER_INVALID',
    message: /"\[URL\]" is added to the vocabulary of .*sentencepiece\.bpe\.model/,
  });
  const own = await withFiles(source, { 'added_tokens.json': { '<mask>': 2501 } });
  await (await TokenizerPool.open(own, { maxTokens: 64, threads: 1 })).close();
});

test('lone surrogates become U+FFFD and are counted', async () => {
  const tokenizer = await TokenizerPool.open(`${folder}/unigram`, { maxTokens: 64, threads: 1 });
  const broken = ['a\ud800b', '\udc00', 'x\udbff\udbffy', '😀 whole', 'plain'];
  const tokens = await tokenizer.tokenize(broken);
  const mended = await tokenizer.tokenize(broken.map((text) => text.replace(/\p{Surrogate}/gu, '\ufffd')));
  await tokenizer.close();
  assert.deepEqual(rowsOf(tokens), rowsOf(mended));
  assert.equal(tokens.replacedSurrogates, 4);
  assert.equal(mended.replacedSurrogates, 0);
});

test('texts come back in their order, whatever the threads and chunks', async () => {
  const texts = Array.from({ length: 4000 }, (_, n) => goldens.texts[(n * 37) % goldens.texts.length]!);
  const whole = goldens.pipelines.unigram!.whole;
  const tokenizer = await TokenizerPool.open(`${folder}/unigram`, { maxTokens: 100_000, threads: 2 });
  const [tokens, none] = await Promise.all([tokenizer.tokenize(texts), tokenizer.tokenize([])]);
  await tokenizer.close();
  const expected = texts.map((_, n) => whole[(n * 37) % goldens.texts.length]!);
  assert.deepEqual(rowsOf(tokens), expected);
  assert.deepEqual([none.inputIds.length, Array.from(none.cumulativeSeqLengths)], [0, [0]]);
});

test('a machine of many processors does not hold a tokenizer for each of them', async (context) => {
  const { mock } = context.mock.method(os, 'availableParallelism', () => 64);
  syncBuiltinESMExports();
  context.after(() => {
    mock.restore();
    syncBuiltinESMExports();
  });
  const tokenizer = await TokenizerPool.open(`${folder}/wordpiece`, { maxTokens: 64 });
  await tokenizer.close();
  assert.equal(tokenizer.threads, Math.min(64, processorQuota()));
  assert.equal(tokenizer.copies, Math.min(3, Math.ceil(tokenizer.threads / 4)));
});
