import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { loadNative } from '#xlembed/native.js';
import { FaissIndex } from '#xlembed/search/faiss_index.js';
import { FlatIndex } from '#xlembed/search/flat_index.js';
import { Tensor } from '#xlembed/tensor.js';
import { withFaiss } from './faiss.js';
import { makeOld } from './garbage.js';
import { createTrainer } from './training/native_trainer.js';

const [rows, dimensions] = [2048, 1024];
/** 8 MB. */
const vectors = new Float32Array(rows * dimensions).fill(0.01);
const ids = Array.from({ length: rows }, (_, row) => `${row}`);

function createEncoder() {
  const lstm = { embeddingSize: dimensions, hiddenSize: 16, layers: 1, bidirectional: false, dropout: 0 };
  return loadNative().createEncoder({
    backbone: { type: 'lstm', vocabularySize: rows, ...lstm },
    head: [{ type: 'pool', modes: ['max'] }],
    weights: { seed: 0, initializerRange: 0.02 },
    device: 'cpu',
    dtype: 'float32',
  });
}

const encoder = await createEncoder();

const kinds: Record<string, () => Promise<WeakKey>> = {
  'a flat index': async () => {
    const index = FlatIndex.create({ dimensions });
    await index.add(vectors, ids);
    return index;
  },
  'a FAISS index': async () => {
    const index = await FaissIndex.create({ dimensions, factory: 'Flat' });
    await index.add(vectors, ids);
    return index;
  },
  'a tensor': async () => Tensor.from(vectors),
  'an encoder': createEncoder,
  'a trainer': () => createTrainer(encoder),
};

for (const [kind, make] of Object.entries(kinds)) {
  const { skip } = kind === 'a FAISS index' ? withFaiss : { skip: false };
  test(`${kind} that nobody refers to is collected for the memory that it holds, not for its own few bytes`, {
    skip,
  }, async () => {
    const made: WeakRef<WeakKey>[] = [];
    const makeAnother = async () => {
      made.push(new WeakRef(await make()));
      makeOld();
    };
    for (let n = 0; n < 60; ++n) {
      await makeAnother();
      await setTimeout(1);
    }
    const alive = made.filter((each) => each.deref() !== undefined).length;
    assert.ok(alive < 60, 'nothing of 480 MB was collected');
  });
}
