import assert from 'node:assert/strict';
import { test } from 'node:test';
import { benchTrain, type TrainCase } from '#xlembed/cli/bench/train.js';
import { equalLengths, paddingShare, tokenPairs } from '#xlembed/cli/bench/train_texts.js';
import { device } from '../device.js';

const rate = 1e12;
// Not every processor multiplies bfloat16.
const precision = device === 'cpu' ? 'float32' : 'bfloat16';

test('bench train times steps, of a whole batch and chunk by chunk', async () => {
  const common = { model: 'minilm', batchSize: 6, rounds: 2 };
  const cases: TrainCase[] = [
    { ...common, miniBatch: 0, textTokens: 9 },
    { ...common, miniBatch: 2 },
  ];
  const heard: number[] = [];
  const results = await benchTrain({
    ...{ cases, device, precision, operationsPerSecond: rate, python: null },
    onResult: ({ tokens }) => void heard.push(tokens),
  });
  assert.equal(results.length, 2);
  assert.deepEqual(
    heard,
    results.map(({ tokens }) => tokens),
  );
  const [equal, spread] = results;
  assert.equal(equal!.tokens, 2 * 6 * 9);
  assert.equal(equal!.padding, 0);
  assert.ok(spread!.padding > 0);
  // The linear layers of 6 x 384 alone, forward and twice backward; attention over nine tokens is little beside them.
  const linear = 3 * 6 * equal!.tokens * 2 * (4 * 384 ** 2 + 2 * 384 * 1536);
  const operations = equal!.boundShare * rate * (equal!.batchSize / equal!.pairsPerSecond);
  assert.ok(operations > linear && operations < 1.05 * linear, `${operations} of ${linear}`);
  for (const { outsideShare, optimizerShare, peer, lossDifference } of results) {
    assert.ok(outsideShare < 1 && optimizerShare > 0 && optimizerShare < 1);
    assert.deepEqual([peer, lossDifference], [null, null]);
  }
});

test('texts of equal length need no padding, and are the same each time', () => {
  const pairs = tokenPairs(5, 100, 3, equalLengths(12));
  assert.ok([...pairs.queries, ...pairs.passages].every(({ length }) => length === 12));
  assert.equal(paddingShare(pairs), 0);
  assert.deepEqual(pairs, tokenPairs(5, 100, 3, equalLengths(12)));
});
