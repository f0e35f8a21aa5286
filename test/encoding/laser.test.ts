import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Encoder } from '#xlembed/encoding/encoder.js';
import { openModel } from '#xlembed/models/open_model.js';
import { type HeadModule, loadNative, type NativeEncoder } from '#xlembed/native.js';
import { device } from '../device.js';
import { largestDifference, packed } from './goldens.js';
import { LASER, laserGolden } from './laser_golden.js';

const { sequences, embeddings, texts, text_embeddings } = laserGolden;

async function nativeEncoder(head?: HeadModule[]): Promise<NativeEncoder> {
  const model = await openModel(LASER);
  const weights = { sources: model.sources };
  const { backbone } = model;
  return loadNative().createEncoder({
    backbone,
    head: head ?? model.head,
    weights,
    device: 'cpu',
    dtype: 'float32',
  });
}

test("LASER-2: the vectors of torch's LSTM", async () => {
  const encoder = await nativeEncoder();
  assert.equal(encoder.dimensions, 16);
  assert.ok(largestDifference(await encoder.encode(packed(sequences)), embeddings.flat()) <= 2e-6);
});

test('LASER-2: texts to vectors, in the order of the texts', async () => {
  const encoder = await Encoder.load(LASER, { device });
  const count = text_embeddings.length;
  const { data, tokens, truncated } = await encoder.encode(texts.slice(0, count).map(({ text }) => text));
  assert.ok(largestDifference(data, text_embeddings.flat()) <= 2e-6);
  assert.equal(
    tokens,
    texts.slice(0, count).reduce((sum, { ids }) => sum + ids.length, 0),
  );
  assert.equal(truncated, 0);
  await encoder.dispose();
});

test('normalize: embeddings of length 1 where the head gives others', async () => {
  const encoder = await Encoder.load(LASER, { device });
  const sentences = texts.map(({ text }) => text);
  const plain = await encoder.encode(sentences);
  const { data, rows, dimensions } = await encoder.encode(sentences, { normalize: true });
  for (let row = 0; row < rows; ++row) {
    const own = plain.data.subarray(row * dimensions, (row + 1) * dimensions);
    const length = Math.hypot(...own);
    assert.ok(Math.abs(length - 1) > 0.01);
    const expected = own.map((value) => value / length);
    assert.ok(largestDifference(data.subarray(row * dimensions, (row + 1) * dimensions), expected) <= 1e-6);
  }
  const wrong = { normalize: 1 as unknown as boolean };
  await assert.rejects(encoder.encode(sentences, wrong), { code: 'INVALID_ARGUMENT', message: /normalize/ });
  await encoder.dispose();
});

test('LASER-2: a vector does not depend on the sequences beside it, nor on their order', async () => {
  const encoder = await nativeEncoder();
  const together = await encoder.encode(packed(sequences));
  const turned = await encoder.encode(packed([...sequences].reverse()));
  for (const [row, sequence] of sequences.entries()) {
    const alone = await encoder.encode(packed([sequence]));
    const other = sequences.length - 1 - row;
    assert.ok(largestDifference(alone, together.subarray(row * 16, (row + 1) * 16)) <= 1e-6);
    assert.ok(largestDifference(alone, turned.subarray(other * 16, (other + 1) * 16)) <= 1e-6);
  }
});

test('LASER-2: empty sequences give zeros, alone and beside others', async () => {
  const encoder = await nativeEncoder();
  assert.deepEqual(await encoder.encode(packed([[]])), new Float32Array(16));
  const beside = await encoder.encode(packed([[], sequences[4]!, []]));
  assert.deepEqual(beside.subarray(0, 16), new Float32Array(16));
  assert.ok(largestDifference(beside.subarray(16, 32), embeddings[4]!) <= 2e-6);
  assert.equal((await encoder.encode(packed([]))).length, 0);
});

test('LASER-2: other heads, fresh weights, bfloat16', async () => {
  const mean = await nativeEncoder([{ type: 'pool', modes: ['mean'] }, { type: 'normalize' }]);
  const [vector] = [await mean.encode(packed([sequences[4]!]))];
  assert.ok(Math.abs(Math.hypot(...vector) - 1) <= 1e-6);
  const { backbone, head, sources } = await openModel(LASER);
  const fresh = (seed: number) =>
    loadNative().createEncoder({
      backbone,
      head,
      weights: { seed, initializerRange: 0.1 },
      device: 'cpu',
      dtype: 'float32',
    });
  const [one, same, other] = await Promise.all(
    [1, 1, 2].map(async (seed) => (await fresh(seed)).encode(packed(sequences))),
  );
  assert.deepEqual(one, same);
  assert.notDeepEqual(one, other);
  const half = await loadNative().createEncoder({
    backbone,
    head,
    weights: { sources },
    device: 'cpu',
    dtype: 'bfloat16',
  });
  assert.ok(largestDifference(await half.encode(packed(sequences)), embeddings.flat()) <= 2e-2);
});

test('LASER-2: ids beyond the embeddings are refused', async () => {
  const encoder = await nativeEncoder();
  await assert.rejects(encoder.encode(packed([[80]])), /VOCABULARY_MISMATCH: token id 80/);
});
