import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { FlatIndex, type FlatIndexOptions } from '#xlembed/search/flat_index.js';
import { device } from '../device.js';
import { coded } from './coded.js';
import { randomVectors, ranking } from './vectors.js';

type Storage = NonNullable<FlatIndexOptions['storage']>;
const narrow: Storage[] = ['bfloat16', 'int8'];

/** What the storage keeps of vectors, computed here. */
function kept(vectors: Float32Array, dimensions: number, storage: Storage): Float32Array {
  return storage === 'bfloat16' ? toBfloat16(vectors) : toInt8(vectors, dimensions);
}

/** Rounded to the upper 16 bits, ties to even. */
function toBfloat16(vectors: Float32Array): Float32Array {
  const bits = new Uint32Array(vectors.slice().buffer);
  for (const [i, value] of bits.entries()) bits[i] = (value + 0x7fff + ((value >>> 16) & 1)) & 0xffff0000;
  return new Float32Array(bits.buffer);
}

/** Whole numbers times a scale: the largest value / 127, rounded up to 16 significant bits. */
function toInt8(vectors: Float32Array, dimensions: number): Float32Array {
  const result = vectors.slice();
  for (let first = 0; first < vectors.length; first += dimensions) {
    const row = result.subarray(first, first + dimensions);
    const scale = Float32Array.of(Math.max(...row.map(Math.abs)) / 127);
    const bits = new Uint32Array(scale.buffer);
    bits[0] = (bits[0]! + 255) & ~255;
    const inverse = scale[0]! > 0 ? Math.fround(1 / scale[0]!) : 0;
    for (const [d, value] of row.entries()) {
      row[d] = roundToEven(Math.fround(value * inverse)) * scale[0]!;
    }
  }
  return result;
}

const roundToEven = (value: number) => value + 6_755_399_441_055_744 - 6_755_399_441_055_744;

async function filled(storage: Storage, rows: number, dimensions: number, seed: number) {
  const vectors = randomVectors(rows, dimensions, seed);
  const index = FlatIndex.create({ device, dimensions, storage });
  const half = (rows >> 1) * dimensions;
  await index.add(vectors.subarray(0, half));
  await index.add(vectors.subarray(half));
  return { index, vectors: kept(vectors, dimensions, storage) };
}

const ids = (ranked: readonly (readonly [number, number])[]) => ranked.map(([row]) => String(row));

test('a search is exact over what is kept', async () => {
  for (const storage of narrow) {
    const [rows, dimensions, count, k] = [1000, 40, 12, 15];
    const { index, vectors } = await filled(storage, rows, dimensions, 31);
    const queries = randomVectors(count, dimensions, 32);
    const only = Array.from({ length: 60 }, (_, i) => String((i * 37) % rows));
    const inside = await index.search(queries, 100, { only });
    for (const [q, hits] of (await index.search(queries, k)).entries()) {
      const all = ranking(queries, q, vectors, dimensions);
      assert.deepEqual(
        hits.map(({ id }) => id),
        ids(all).slice(0, k),
      );
      for (const [i, hit] of hits.entries()) assert.ok(Math.abs(hit.score - all[i]![1]) < 1e-4);
      assert.deepEqual(
        inside[q]!.map(({ id }) => id),
        ids(all).filter((id) => only.includes(id)),
      );
      const query = queries.subarray(q * dimensions, (q + 1) * dimensions);
      const places = Int32Array.of(all[0]![0], all[99]![0], all[rows - 1]![0]);
      assert.deepEqual([...(await index.ranks(query, places, Int32Array.of(0, 3)))], [1, 100, rows]);
    }
    index.dispose();
  }
});

test('the bits are those of a float32 index over what is kept, and survive saving and loading', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'xlembed-stored-'));
  try {
    for (const storage of narrow) {
      const [rows, dimensions] = [700, 33];
      const { index, vectors } = await filled(storage, rows, dimensions, 33);
      const plain = FlatIndex.create({ dimensions });
      await plain.add(vectors);
      const queries = randomVectors(9, dimensions, 34);
      const expected = await plain.search(queries, 700);
      assert.deepEqual(await index.search(queries, 700), expected);
      await index.save(join(folder, storage));
      const loaded = await FlatIndex.load(join(folder, storage), { device, storage });
      const mapped = await FlatIndex.load(join(folder, storage), { memoryMap: true });
      assert.deepEqual(await loaded.search(queries, 700), expected);
      assert.deepEqual(await mapped.search(queries, 700), expected);
      const gone = expected[0]!.filter((_, i) => i % 3 === 0).map(({ id }) => id);
      for (const one of [index, plain, loaded]) await one.remove(gone);
      assert.deepEqual(await index.search(queries, 500), await plain.search(queries, 500));
      assert.deepEqual(await loaded.search(queries, 500), await plain.search(queries, 500));
      for (const one of [index, plain, loaded, mapped]) one.dispose();
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('refuses what it cannot keep or search', async () => {
  const dimensions = 4;
  for (const storage of narrow) {
    assert.throws(
      () => FlatIndex.create({ dimensions, storage, scan: 'bfloat16' }),
      coded('INVALID_ARGUMENT', /scan/),
    );
    const index = FlatIndex.create({ device, dimensions, storage });
    await assert.rejects(index.add(Float32Array.of(1, 2, Number.NaN, 3)), coded('INVALID_ARGUMENT', /row 0/));
    await assert.rejects(index.search(new Float32Array(5), 1), coded('DIMENSION_MISMATCH'));
    await index.add(new Float32Array(8));
    assert.deepEqual(await index.search(Float32Array.of(1, 1, 1, 1), 5), [
      [
        { id: '0', score: 0 },
        { id: '1', score: 0 },
      ],
    ]);
    index.dispose();
  }
});
