import assert from 'node:assert/strict';
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { FlatIndex } from '#xlembed/search/flat_index.js';
import { coded } from './coded.js';
import { randomVectors } from './vectors.js';

const work = mkdtempSync(join(tmpdir(), 'xlembed-mapped-'));
after(() => rmSync(work, { recursive: true }));

const memoryMap = true;

async function saved(name: string, rows: number, dimensions: number) {
  const folder = join(work, name);
  const index = FlatIndex.create({ dimensions });
  const ids = Array.from({ length: rows }, (_, row) => `passage ${row}`);
  await index.add(randomVectors(rows, dimensions, rows), ids);
  await index.save(folder);
  return { folder, index, file: join(folder, 'embeddings.npy') };
}

test('finds the same bits as the index in memory', async () => {
  for (const [rows, dimensions] of [
    [1, 1],
    [47, 7],
    [1000, 100],
    [4097, 33],
  ] as const) {
    const { folder, index } = await saved(`same-${rows}`, rows, dimensions);
    const mapped = await FlatIndex.load(folder, { memoryMap });
    assert.equal(mapped.size, rows);
    for (const count of [1, 5, 40]) {
      const queries = randomVectors(count, dimensions, 9);
      assert.deepEqual(await mapped.search(queries, 12), await index.search(queries, 12));
      const only = [0, rows - 1, rows >> 1].map((row) => `passage ${row}`);
      assert.deepEqual(await mapped.search(queries, 2, { only }), await index.search(queries, 2, { only }));
    }
    const query = randomVectors(1, dimensions, 10);
    const places = [Int32Array.of(0, rows - 1), Int32Array.of(0, 2)] as const;
    assert.deepEqual(await mapped.ranks(query, ...places), await index.ranks(query, ...places));
    await mapped.save(join(work, `copy-${rows}`));
    const copy = await FlatIndex.load(join(work, `copy-${rows}`));
    assert.deepEqual(await copy.search(query, 5), await index.search(query, 5));
    for (const one of [index, mapped, copy]) one.dispose();
  }
});

test('a row with NaN is never found', async () => {
  const { folder, index, file } = await saved('nan', 5, 8);
  const query = randomVectors(1, 8, 4);
  const whole = (await index.search(query, 5))[0]!;
  const bytes = readFileSync(file);
  bytes.writeFloatLE(Number.NaN, bytes.length - 2 * 8 * 4);
  writeFileSync(file, bytes);
  const mapped = await FlatIndex.load(folder, { memoryMap });
  assert.deepEqual(
    (await mapped.search(query, 5))[0],
    whole.filter(({ id }) => id !== 'passage 3'),
  );
  assert.deepEqual(await mapped.search(query, 1, { only: ['passage 3'] }), [[]]);
});

test('is read-only', async () => {
  const { folder } = await saved('read-only', 10, 4);
  const mapped = await FlatIndex.load(folder, { memoryMap });
  await assert.rejects(mapped.add(new Float32Array(4)), coded('INDEX_READ_ONLY'));
  await assert.rejects(mapped.remove(['passage 3']), coded('INDEX_READ_ONLY'));
  assert.equal(mapped.size, 10);
  mapped.dispose();
  await assert.rejects(mapped.search(new Float32Array(4), 1), coded('DISPOSED'));
});

test('a folder that is replaced leaves the open index as it was', async () => {
  const { folder, index } = await saved('replaced', 100, 8);
  const mapped = await FlatIndex.load(folder, { memoryMap });
  const other = FlatIndex.create({ dimensions: 8 });
  await other.add(randomVectors(3, 8, 77));
  await other.save(folder, { overwrite: true });
  const query = randomVectors(1, 8, 5);
  assert.deepEqual(await mapped.search(query, 4), await index.search(query, 4));
});

test('a file that changed its size is refused, at opening and afterwards', async () => {
  const query = randomVectors(1, 16, 6);
  for (const change of [
    (file: string) => truncateSync(file, statSync(file).size - 4),
    (file: string) => truncateSync(file, 0),
    (file: string) => appendFileSync(file, 'more'),
  ]) {
    const { folder, file } = await saved('changed', 3000, 16);
    const mapped = await FlatIndex.load(folder, { memoryMap });
    await mapped.search(query, 1);
    change(file);
    await assert.rejects(mapped.search(query, 1), coded('MALFORMED_FILE', /embeddings\.npy/));
    await assert.rejects(FlatIndex.load(folder, { memoryMap }), coded('MALFORMED_FILE'));
    mapped.dispose();
    rmSync(folder, { recursive: true });
  }
});

test('refuses what it cannot map', async () => {
  const { folder } = await saved('refused', 5, 4);
  await assert.rejects(FlatIndex.load(join(work, 'nowhere'), { memoryMap }), coded('FILE_NOT_FOUND'));
  await assert.rejects(
    FlatIndex.load(folder, { memoryMap, scan: 'int8' }),
    coded('INVALID_ARGUMENT', /scan/),
  );
  await assert.rejects(
    FlatIndex.load(folder, { memoryMap, storage: 'binary' }),
    coded('INVALID_ARGUMENT', /storage/),
  );
  await assert.rejects(FlatIndex.load(folder, { memoryMap, device: 'cuda' }), coded('DEVICE_UNAVAILABLE'));
  const halves = join(work, 'halves');
  mkdirSync(halves);
  const header = "{'descr': '<f2', 'fortran_order': False, 'shape': (2, 4), }".padEnd(117);
  writeFileSync(
    join(halves, 'embeddings.npy'),
    Buffer.concat([
      Buffer.from('\x93NUMPY\x01\x00\x76\x00', 'latin1'),
      Buffer.from(`${header}\n`),
      Buffer.alloc(16),
    ]),
  );
  writeFileSync(join(halves, 'ids.jsonl'), '"a"\n"b"\n');
  assert.equal((await FlatIndex.load(halves)).size, 2);
  await assert.rejects(FlatIndex.load(halves, { memoryMap }), coded('INVALID_ARGUMENT', /one float32 array/));
});
