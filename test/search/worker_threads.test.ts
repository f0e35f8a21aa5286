import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { FlatIndex } from '#xlembed/search/flat_index.js';
import { randomVectors } from './vectors.js';

const start = (seed: number, leave = false) =>
  new Worker(new URL('./search_worker.js', import.meta.url), { workerData: { seed, leave } });

test('two worker threads search indexes of their own', async () => {
  const workers = [start(1), start(2)];
  const found = await Promise.all(workers.map(async (worker) => (await once(worker, 'message'))[0]));
  for (const [i, seed] of [1, 2].entries()) {
    const index = FlatIndex.create({ dimensions: 32 });
    await index.add(randomVectors(3000, 32, seed));
    assert.deepEqual(found[i], (await index.search(randomVectors(400, 32, 7), 3)).at(-1));
  }
  await Promise.all(workers.map((worker) => worker.terminate()));
});

test('a worker may end while its search runs', async () => {
  const worker = start(3, true);
  assert.deepEqual(await once(worker, 'message'), ['searching']);
  await worker.terminate();
  const index = FlatIndex.create({ dimensions: 2 });
  await index.add(Float32Array.of(1, 2));
  assert.deepEqual(await index.search(Float32Array.of(3, 4), 1), [[{ id: '0', score: 11 }]]);
});
