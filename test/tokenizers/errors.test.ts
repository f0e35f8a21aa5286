import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { TokenizerPool } from '#xlembed/tokenizers/tokenizer_pool.js';
import { folder } from './goldens.js';

const work = await mkdtemp(join(tmpdir(), 'xlembed-tokenizer-errors-'));
after(() => rm(work, { recursive: true }));

async function open(name: string, content: string | Uint8Array, maxTokens = 16): Promise<TokenizerPool> {
  await writeFile(join(work, name), content);
  return TokenizerPool.open(join(work, name), { maxTokens, threads: 1 });
}

const good = JSON.parse(await readFile(`${folder}/unigram/tokenizer.json`, 'utf8'));
const model = new Uint8Array(await readFile(`${folder}/unigram/sentencepiece.bpe.model`));

const charsmap: string = good.normalizer.normalizers[0].precompiled_charsmap;

function withCharacterMap(text: unknown) {
  return { ...good, normalizer: { type: 'Precompiled', precompiled_charsmap: text } };
}

test('nothing there: the files that would do are named', async () => {
  await mkdir(join(work, 'empty'));
  for (const path of [join(work, 'empty'), join(work, 'none'), join(work, 'none/tokenizer.json')]) {
    await assert.rejects(TokenizerPool.open(path, { maxTokens: 16 }), {
      code: 'FILE_NOT_FOUND',
      message: `no tokenizer.json, sentencepiece.bpe.model, vocab.txt in ${path}`,
    });
  }
  await assert.rejects(open('weights.bin', 'x'), {
    code: 'TOKENIZER_INVALID',
    message: /received .*weights\.bin/,
  });
});

const invalid: [string, unknown, RegExp][] = [
  ['no JSON', '{"model": ', /expected JSON in .*tokenizer\.json, received .*JSON/],
  ['another JSON', { tokenizer_class: 'BertTokenizer' }, /expected a model in .*, received undefined/],
  ['no object', 'null', /expected a model in/],
  [
    'an unknown model',
    { model: { type: 'Morse', vocab: {} } },
    /Unigram, WordPiece, BPE, WordLevel.*received "Morse"/,
  ],
  ['no vocabulary', { model: { type: 'Unigram' } }, /expected model\.vocab in/],
  [
    'the wrong kind of vocabulary',
    { model: { type: 'Unigram', vocab: { a: 1 } } },
    /fits Unigram.*received a table/,
  ],
  [
    'what only the library sees',
    { ...good, normalizer: { type: 'Upside' } },
    /the tokenizers library refuses .*tokenizer/,
  ],
  [
    'a score that is none',
    { ...good, model: { ...good.model, vocab: [['a', 'b']] } },
    /the tokenizers library refuses/,
  ],
  [
    'added tokens that are no list',
    { ...good, added_tokens: null },
    /expected a list of objects for added_tokens/,
  ],
  [
    'an added token that is none',
    { ...good, added_tokens: [null] },
    /expected a list of objects for added_tokens/,
  ],
  [
    'a piece that is none',
    { ...good, model: { ...good.model, vocab: [null] } },
    /expected pairs in model\.vocab/,
  ],
  [
    'a sequence of nothing',
    { ...good, pre_tokenizer: { type: 'Sequence' } },
    /the tokenizers library refuses/,
  ],
  [
    'endless nesting',
    JSON.stringify({ ...good, post_processor: 0 }).replace(
      '"post_processor":0',
      `"post_processor":${'['.repeat(1e5)}${']'.repeat(1e5)}`,
    ),
    /expected at most 64 levels/,
  ],
  // The library would end this process.
  ['a character map that is not base64', withCharacterMap('!!!!'), /expected a sound precompiled_charsmap/],
  ['a character map that is no text', withCharacterMap(true), /expected a sound precompiled_charsmap/],
  ['an empty character map', withCharacterMap(''), /expected a sound precompiled_charsmap/],
  ['a cut character map', withCharacterMap(charsmap.slice(0, -4)), /expected a sound precompiled_charsmap/],
  [
    'a character map that leads out of itself',
    withCharacterMap(Buffer.from([8, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]).toString('base64')),
    /expected a sound precompiled_charsmap/,
  ],
  [
    'words of no length',
    { ...good, pre_tokenizer: { type: 'FixedLength', length: 0 } },
    /expected a length above 0/,
  ],
  [
    'a template of unknown tokens',
    { ...good, post_processor: { ...good.post_processor, special_tokens: {} } },
    /expected a template of its own special_tokens in .*, received "<s>"/,
  ],
  [
    'a merge into no piece',
    { ...good, model: { type: 'BPE', vocab: { a: 0, b: 1 }, merges: ['a b'] } },
    /expected merges into pieces of the vocabulary in .*, received "a b"/,
  ],
];
for (const [name, content, message] of invalid) {
  test(`tokenizer.json with ${name}`, async () => {
    const text = typeof content === 'string' ? content : JSON.stringify(content);
    await assert.rejects(open('tokenizer.json', text), { code: 'TOKENIZER_INVALID', message });
  });
}

test('a file that is not UTF-8', async () => {
  await assert.rejects(open('tokenizer.json', Uint8Array.of(0x7b, 0xff)), {
    code: 'TOKENIZER_INVALID',
    message: /UTF-8/,
  });
});

test('vocab.txt without the special pieces, or with others that the configuration names', async () => {
  await assert.rejects(open('vocab.txt', 'a\nb\n'), {
    code: 'TOKENIZER_INVALID',
    message: `expected the piece [UNK] in ${join(work, 'vocab.txt')}, received 2 pieces without it`,
  });
  const config = { unk_token: '<u>', sep_token: { content: '<e>' }, pad_token: '<p>', cls_token: '<b>' };
  await writeFile(join(work, 'tokenizer_config.json'), JSON.stringify(config));
  const tokenizer = await open('vocab.txt', '<p>\r\n<u>\r\n<b>\r\n<e>\r\na\r\n##b\r\n__proto__\r\n');
  const tokens = await tokenizer.tokenize(['AB x']);
  await tokenizer.close();
  assert.deepEqual(Array.from(tokens.inputIds), [2, 4, 5, 1, 3]);
  assert.deepEqual([tokenizer.padId, tokenizer.unkId, tokenizer.vocabularySize], [undefined, 1, 7]);
  await writeFile(join(work, 'tokenizer_config.json'), '[');
  await assert.rejects(open('vocab.txt', 'a\n'), {
    code: 'TOKENIZER_INVALID',
    message: /tokenizer_config\.json/,
  });
  await rm(join(work, 'tokenizer_config.json'));
});

test('a SentencePiece file cut anywhere, or with a length beyond its end, is refused', async () => {
  for (const length of [0, 1, 2, 7, 100, 1000, model.length - 1]) {
    await assert.rejects(open('sentencepiece.bpe.model', model.subarray(0, length)), {
      code: 'TOKENIZER_INVALID',
    });
  }
  const bomb = Uint8Array.of(0x0a, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x00);
  await assert.rejects(open('sentencepiece.bpe.model', bomb), {
    code: 'TOKENIZER_INVALID',
    message: /bytes announced/,
  });
  await assert.rejects(open('sentencepiece.bpe.model', 'just text\n'), { code: 'TOKENIZER_INVALID' });
});

test('a SentencePiece model of another kind is refused', async () => {
  const piece = (text: string) => [0x0a, text.length + 2, 0x0a, text.length, ...Buffer.from(text)];
  const three = ['<unk>', '<s>', '</s>'].flatMap(piece);
  await assert.rejects(open('sentencepiece.bpe.model', Uint8Array.from([...three, 0x12, 2, 0x18, 2])), {
    code: 'TOKENIZER_INVALID',
    message: /expected a Unigram model \(type 1\) in .*, received type 2/,
  });
  await assert.rejects(open('sentencepiece.bpe.model', Uint8Array.from(piece('a'))), {
    code: 'TOKENIZER_INVALID',
    message: /expected the pieces <unk>, <s>, <\/s> in front in .*, received a/,
  });
});

test('maxTokens must leave room for the text', async () => {
  for (const maxTokens of [2, 0, -1, 1.5, Number.NaN]) {
    await assert.rejects(TokenizerPool.open(`${folder}/unigram`, { maxTokens, threads: 1 }), {
      code: 'INVALID_ARGUMENT',
      message: /for maxTokens, received/,
    });
  }
});

test('a closed tokenizer refuses', async () => {
  const tokenizer = await TokenizerPool.open(`${folder}/unigram`, { maxTokens: 16, threads: 1 });
  await tokenizer.close();
  await assert.rejects(tokenizer.tokenize(['a']), { code: 'DISPOSED' });
});

test('what a tokenizer says of itself', async () => {
  const read = ({
    modelType,
    padId,
    unkId,
    hasTokenTypes,
    specialTokens,
    maxTokens,
    threads,
  }: TokenizerPool) => ({
    ...{ modelType, padId, unkId, hasTokenTypes, specialTokens, maxTokens, threads },
  });
  const unigram = await TokenizerPool.open(`${folder}/unigram`, { maxTokens: 16, threads: 1 });
  const wordPiece = await TokenizerPool.open(`${folder}/wordpiece`, { maxTokens: 16, threads: 2 });
  await Promise.all([unigram.close(), wordPiece.close()]);
  const common = { specialTokens: 2, maxTokens: 16 };
  const [first, second] = [read(unigram), read(wordPiece)];
  assert.deepEqual(first, {
    modelType: 'Unigram',
    padId: 1,
    unkId: 3,
    hasTokenTypes: false,
    threads: 1,
    ...common,
  });
  assert.deepEqual(second, {
    modelType: 'WordPiece',
    padId: 0,
    unkId: 1,
    hasTokenTypes: true,
    threads: 2,
    ...common,
  });
});

test('truncation on the left, which transformers takes from tokenizer.json, is refused unless the configuration says otherwise', async () => {
  const truncation = { direction: 'Left', max_length: 8, strategy: 'LongestFirst', stride: 0 };
  const left = JSON.stringify({ ...good, truncation });
  await assert.rejects(open('tokenizer.json', left), {
    code: 'TOKENIZER_INVALID',
    message: /expected truncation on the right in .*tokenizer\.json, received on the left/,
  });
  const config = join(work, 'tokenizer_config.json');
  await writeFile(config, JSON.stringify({ truncation_side: 'right' }));
  await (await open('tokenizer.json', left)).close();
  await rm(config);
});
