import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { FlatIndex } from '#xlembed/search/flat_index.js';
import { device } from '../device.js';
import { coded } from './coded.js';
import { randomVectors, ranking } from './vectors.js';

const storage = 'binary';
const signs = (vectors: Float32Array) => vectors.map((value) => (value > 0 ? 1 : -1));

test('scores are inner products of signs, ties in order of arrival', async () => {
  const [rows, dimensions, count, k] = [700, 75, 12, 20];
  const vectors = randomVectors(rows, dimensions, 1);
  const queries = randomVectors(count, dimensions, 2);
  const index = FlatIndex.create({ device, dimensions, storage });
  await index.add(vectors.subarray(0, 100 * dimensions));
  await index.add(vectors.subarray(100 * dimensions));
  const lists = await index.search(queries, k);
  const only = ['5', '699', '300'];
  const inside = await index.search(queries, k, { only });
  for (const [q, hits] of lists.entries()) {
    const all = ranking(signs(queries), q, signs(vectors), dimensions);
    const expected = all.map(([row, score]) => ({ id: String(row), score }));
    assert.deepEqual(hits, expected.slice(0, k));
    assert.deepEqual(
      inside[q],
      expected.filter(({ id }) => only.includes(id)),
    );
    const places = Int32Array.of(all[0]![0], all[rows - 1]![0]);
    const query = queries.subarray(q * dimensions, (q + 1) * dimensions);
    assert.deepEqual([...(await index.ranks(query, places, Int32Array.of(0, 2)))], [1, rows]);
  }
  index.dispose();
});

test('what is removed is gone; what is saved is the same when loaded', async () => {
  const [rows, dimensions] = [200, 40];
  const vectors = randomVectors(rows, dimensions, 3);
  const query = randomVectors(1, dimensions, 4);
  const index = FlatIndex.create({ device, dimensions, storage });
  await index.add(vectors);
  const [before] = await index.search(query, rows);
  const gone = before!.filter((_, i) => i % 3 === 0).map(({ id }) => id);
  await index.remove(gone);
  const [after] = await index.search(query, rows);
  assert.deepEqual(
    after,
    before!.filter(({ id }) => !gone.includes(id)),
  );
  const folder = mkdtempSync(join(tmpdir(), 'xlembed-binary-'));
  try {
    await index.save(join(folder, 'saved'));
    const loaded = await FlatIndex.load(join(folder, 'saved'), { device, storage });
    assert.deepEqual(await loaded.search(query, rows), [after]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('refuses what has no sign bits', async () => {
  const dimensions = 8;
  assert.throws(
    () => FlatIndex.create({ dimensions, storage: 'ternary' as 'binary' }),
    coded('INVALID_ARGUMENT'),
  );
  assert.throws(
    () => FlatIndex.create({ dimensions, storage, scan: 'int8' }),
    coded('INVALID_ARGUMENT', /scan/),
  );
  const index = FlatIndex.create({ device, dimensions, storage });
  const bad = new Float32Array(8).fill(Number.NaN);
  await assert.rejects(index.add(bad), coded('INVALID_ARGUMENT', /row 0/));
  await assert.rejects(index.search(bad, 1), coded('INVALID_ARGUMENT', /row 0/));
  await assert.rejects(index.add(new Float32Array(9)), coded('DIMENSION_MISMATCH'));
  for (const k of [0, -1, 1.5, '3' as unknown as number])
    await assert.rejects(index.search(new Float32Array(8), k), coded('INVALID_ARGUMENT', /for k,/));
});
