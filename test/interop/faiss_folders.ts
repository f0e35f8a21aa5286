// Writes FAISS indexes for faiss_index_in_python.py, and opens those that it wrote:
//     node .build/test/interop/faiss_folders.js write FOLDER
//     node .build/test/interop/faiss_folders.js read FOLDER
// vectors.f32 and queries.f32 of FOLDER are (3000, 32) and (20, 32) float32.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FaissIndex } from '#xlembed/search/faiss_index.js';
import { randomVectors } from '../search/vectors.js';

const [rows, dimensions, k] = [3000, 32, 10];
const KINDS = [
  { factory: 'Flat', metric: 'inner_product', parameters: {} },
  { factory: 'IVF16,Flat', metric: 'l2', parameters: { nprobe: 4 } },
  { factory: 'IVF16,PQ8x4', metric: 'inner_product', parameters: { nprobe: 16 } },
  { factory: 'HNSW16', metric: 'inner_product', parameters: { efSearch: 40 } },
  { factory: 'OPQ8,IVF8,PQ8x4', metric: 'l2', parameters: {} },
] as const;

const [verb, folder] = process.argv.slice(2);
if (!folder || (verb !== 'write' && verb !== 'read')) {
  throw new Error('usage: node .build/test/interop/faiss_folders.js write|read FOLDER');
}
await (verb === 'write' ? write(folder) : read(folder));

async function write(folder: string): Promise<void> {
  const vectors = randomVectors(rows, dimensions, 1);
  const queries = randomVectors(20, dimensions, 2);
  writeFileSync(join(folder, 'vectors.f32'), vectors);
  writeFileSync(join(folder, 'queries.f32'), queries);
  for (const [i, { factory, metric, parameters }] of KINDS.entries()) {
    const index = await FaissIndex.create({ dimensions, factory, metric });
    if (!index.trained) await index.train(vectors);
    await index.add(vectors);
    await index.setParameters(parameters);
    if (!factory.startsWith('HNSW')) await index.remove(['17', '2999']);
    await index.save(join(folder, `node-${i}`));
    const hits = await index.search(queries, k);
    const found = { factory, ids: hits.map((list) => list.map(({ id }) => id)), scores: hits.map(scoresOf) };
    writeFileSync(join(folder, `node-${i}.json`), JSON.stringify(found));
  }
}

async function read(folder: string): Promise<void> {
  const bytes = readFileSync(join(folder, 'queries.f32'));
  const queries = new Float32Array(Uint8Array.from(bytes).buffer);
  for (const name of readdirSync(folder).filter((file) => file.endsWith('.faiss'))) {
    const expected = JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8'));
    for (const memoryMap of [false, true]) {
      const index = await FaissIndex.load(join(folder, name), { memoryMap });
      const hits = await index.search(queries, k);
      const ids = hits.map((list) => list.map(({ id }) => id));
      assert.deepEqual(ids, expected.ids, `${name} (${expected.factory})`);
      for (const [q, scores] of hits.map(scoresOf).entries()) {
        for (const [i, score] of scores.entries()) {
          const difference = Math.abs(score - expected.scores[q][i]);
          assert.ok(difference < 1e-4 * Math.max(1, Math.abs(score)), `${name}: ${difference}`);
        }
      }
      const how = memoryMap ? 'mapped' : 'in memory';
      console.log(`ok: ${expected.factory} of Python's faiss opens in xlembed ${how} and finds the same`);
    }
  }
}

function scoresOf(hits: { score: number }[]): number[] {
  return hits.map(({ score }) => score);
}
