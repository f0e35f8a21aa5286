import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openModel } from '#xlembed/models/open_model.js';
import { CharacterMap } from '#xlembed/tokenizers/laser/character_map.js';
import { prepareLaserText } from '#xlembed/tokenizers/laser/prepare_text.js';
import { normalizePunctuation } from '#xlembed/tokenizers/laser/punctuation.js';
import { sequenceAt } from '#xlembed/tokenizers/packed.js';
import { parseSentencePieceModel } from '#xlembed/tokenizers/sentence_piece.js';
import { TokenizerPool } from '#xlembed/tokenizers/tokenizer_pool.js';
import { LASER, laserGolden } from '../encoding/laser_golden.js';

const { texts } = laserGolden;
const { tokenizerPath, dictionary } = await openModel(LASER);
const work = mkdtempSync(join(tmpdir(), 'xlembed-'));
after(() => rmSync(work, { recursive: true }));

const open = (path = tokenizerPath, maxTokens = 100_000) =>
  TokenizerPool.open(path, { maxTokens, threads: 1, laserDictionary: dictionary });

test('texts are prepared as laser_encoders and sacremoses prepare them', () => {
  assert.ok(texts.length > 90);
  for (const { text, prepared } of texts) assert.equal(prepareLaserText(text), prepared);
});

test('punctuation: each rule sees what the ones before it left', () => {
  assert.equal(normalizePunctuation('a ( b ) . "c".,'), 'a (b). "c.,"');
  assert.equal(normalizePunctuation('it’s ‘so’ «x»'), 'it\'s "so" "x"');
  assert.equal(normalizePunctuation('1\u00a0000\u00a0%'), '1.000%');
});

test("ids are SentencePiece's pieces by LASER's dictionary, and </s>", async () => {
  const tokenizer = await open();
  const tokens = await tokenizer.tokenize(texts.map(({ text }) => text));
  for (const [row, { text, ids }] of texts.entries()) {
    assert.deepEqual([...sequenceAt(tokens, row)], ids, JSON.stringify(text));
  }
  assert.equal(tokens.empty, texts.filter(({ ids }) => ids.length === 1).length);
  const { vocabularySize, padId, unkId, specialTokens } = tokenizer;
  assert.deepEqual(
    { vocabularySize, padId, unkId, specialTokens },
    {
      vocabularySize: 80,
      padId: 1,
      unkId: 3,
      specialTokens: 1,
    },
  );
  await tokenizer.close();
});

test('a SentencePiece model with a character map', async () => {
  const path = 'test/reference/tokenizers/unigram/sentencepiece.bpe.model';
  const { pieces } = parseSentencePieceModel(readFileSync(path), path);
  const ids = new Map(pieces.map(({ piece }, n): [string, number] => [piece, n + 1]));
  for (const [n, piece] of ['<s>', '<pad>', '</s>', '<unk>'].entries()) ids.set(piece, n);
  const tokenizer = await TokenizerPool.open(path, {
    maxTokens: 100_000,
    threads: 1,
    laserDictionary: ids,
  });
  const tokens = await tokenizer.tokenize(texts.map(({ text }) => text));
  for (const [row, { text, charsmap_ids }] of texts.entries()) {
    assert.deepEqual([...sequenceAt(tokens, row)], charsmap_ids, JSON.stringify(text));
  }
  await tokenizer.close();
});

test('texts are cut to maxTokens, </s> stays; surrogates are counted', async () => {
  const tokenizer = await open(tokenizerPath, 5);
  const { text, ids } = texts.find((each) => each.ids.length > 20)!;
  const tokens = await tokenizer.tokenize([text, 'a \ud800 b']);
  assert.deepEqual([...sequenceAt(tokens, 0)], [...ids.slice(0, 4), 2]);
  assert.deepEqual([tokens.truncated, tokens.replacedSurrogates], [2, 1]);
  await tokenizer.close();
});

/** A SentencePiece file with bytes behind it: protobuf takes the last value of a field. */
function appended(...bytes: number[]): string {
  const path = join(work, 'changed.spm');
  writeFileSync(path, Buffer.concat([readFileSync(tokenizerPath), Buffer.from(bytes)]));
  return path;
}

test('other kinds of SentencePiece models are refused', async () => {
  const refused = (path: string, message: RegExp) =>
    assert.rejects(open(path), { code: 'TOKENIZER_INVALID', message });
  await refused(appended(0x12, 2, 0x18, 2), /a Unigram model \(type 1\).*type 2/);
  await refused(appended(0x12, 3, 0xc0, 0x01, 1), /pieces that begin with their space/);
  await refused(appended(0x0a, 5, 0x0a, 1, 0x71, 0x18, 4), /q of type 4/);
  await refused(appended(0x0a, 9), /other bytes/);
  await assert.rejects(open(join(work, 'nowhere.spm')), { code: 'FILE_NOT_FOUND' });
});

test('a character map: the longest match counts, also across characters; a broken one is refused', () => {
  const path = 'test/reference/tokenizers/unigram/sentencepiece.bpe.model';
  const { charsmap } = parseSentencePieceModel(readFileSync(path), path);
  const map = new CharacterMap(charsmap, path);
  assert.equal(map.apply(''), '');
  assert.equal(map.apply('plain, 中文 😀'), 'plain, 中文 😀');
  assert.equal(map.apply('e\u0301\u0302\u0303 ﬁ'), '\u00e9\u0302\u0303 fi');
  const refused = (bytes: Uint8Array) =>
    assert.throws(() => new CharacterMap(bytes, 'x.spm'), { code: 'TOKENIZER_INVALID', message: /x\.spm/ });
  refused(new Uint8Array(3));
  refused(new Uint8Array(8));
  refused(charsmap.slice(0, 100));
  refused(Uint8Array.from([3, 0, 0, 0, 1, 2, 3]));
  // Whatever the trie holds, the text is gone through once.
  const noise = Uint8Array.from({ length: 4 + 4096 }, (_, n) =>
    n < 4 ? [0, 8, 0, 0][n]! : (n * 7919) % 251,
  );
  assert.equal(typeof new CharacterMap(noise, 'x').apply('some text ☃'.repeat(50)), 'string');
});
