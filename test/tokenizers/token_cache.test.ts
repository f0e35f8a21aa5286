import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { pack, sequenceAt } from '#xlembed/tokenizers/packed.js';
import { TokenCache } from '#xlembed/tokenizers/token_cache.js';
import { TokenizerPool } from '#xlembed/tokenizers/tokenizer_pool.js';
import { folder, goldens } from './goldens.js';

const tokenizer = await TokenizerPool.open(`${folder}/unigram`, { maxTokens: 100_000, threads: 1 });
after(() => tokenizer.close());
const { whole } = goldens.pipelines.unigram!;

test('ids are those of the tokenizer, repeated texts included', async () => {
  const cache = new TokenCache(tokenizer);
  const order = [5, 3, 5, 70, 3, 0];
  const tokens = await cache.tokens(order.map((n) => goldens.texts[n]!));
  assert.deepEqual(
    tokens.map((ids) => Array.from(ids)),
    order.map((n) => whole[n]),
  );
  assert.equal(cache.counts.tokenized, 4);
});

test('a text seen before, or being tokenised, is not tokenised again', async () => {
  const cache = new TokenCache(tokenizer);
  const [first, second] = await Promise.all([
    cache.tokens(goldens.texts),
    cache.tokens(goldens.texts.slice(0, 9)),
  ]);
  assert.equal(first[0], second[0], 'the same array serves both');
  await cache.tokens(goldens.texts);
  const distinct = new Set(goldens.texts).size;
  assert.deepEqual(cache.counts, {
    tokenized: distinct,
    truncated: 0,
    replacedSurrogates: 0,
    empty: new Set(goldens.texts.filter((_, n) => whole[n]!.length === 2)).size,
  });
});

test('the texts used least recently go first when the bound is reached', async () => {
  const texts = ['Everyone', 'has', 'the', 'right'];
  const lengths = (await new TokenCache(tokenizer).tokens(texts)).map((ids) => ids.length);
  const cache = new TokenCache(tokenizer, { maxHeldTokens: lengths[0]! + lengths[1]! + lengths[2]! });
  for (const text of ['Everyone', 'has', 'the', 'Everyone', 'right']) await cache.tokens([text]);
  assert.equal(cache.counts.tokenized, 4);
  await cache.tokens(['Everyone', 'right']);
  assert.equal(cache.counts.tokenized, 4, 'used recently: still held');
  await cache.tokens(['has']);
  assert.equal(cache.counts.tokenized, 5, 'used least recently: gone');
});

test('a failure reaches the caller and is not remembered', async () => {
  let failing = true;
  const flaky = {
    tokenize: (texts: readonly string[]) =>
      failing ? Promise.reject(new Error('no')) : tokenizer.tokenize(texts),
  };
  const cache = new TokenCache(flaky);
  await assert.rejects(cache.tokens(['a', 'b']), { message: 'no' });
  failing = false;
  assert.equal((await cache.tokens(['a', 'b'])).length, 2);
});

test('pack lays sequences end to end, sequenceAt finds them again', () => {
  const packed = pack([Int32Array.of(1, 2, 3), new Int32Array(0), Int32Array.of(4)]);
  assert.deepEqual(Array.from(packed.inputIds), [1, 2, 3, 4]);
  assert.deepEqual(Array.from(packed.cumulativeSeqLengths), [0, 3, 3, 4]);
  assert.deepEqual(Array.from(sequenceAt(packed, 0)), [1, 2, 3]);
  assert.deepEqual(Array.from(sequenceAt(packed, 1)), []);
  assert.deepEqual(Array.from(sequenceAt(packed, 2)), [4]);
  assert.deepEqual(Array.from(pack([]).cumulativeSeqLengths), [0]);
});
