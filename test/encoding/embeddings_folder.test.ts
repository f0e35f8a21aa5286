import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { NpyWriter } from '#xlembed/datasets/npy.js';
import { openEmbeddingsFolder, writeEmbeddingsFolder } from '#xlembed/encoding/embeddings_folder.js';
import { FlatIndex } from '#xlembed/search/flat_index.js';
import { randomVectors } from '../search/vectors.js';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'xlembed-search-'));
});
afterEach(() => rm(folder, { recursive: true }));

async function writeBoth(target: string, vectors: Float32Array, dimensions: number, lines: string) {
  const writer = await NpyWriter.create(join(target, 'embeddings.npy'), dimensions);
  await writer.append(vectors);
  await writer.close();
  await writeFile(join(target, 'ids.jsonl'), lines);
}

test('an index comes back as it was saved', async () => {
  const index = FlatIndex.create({ dimensions: 10 });
  const vectors = randomVectors(5000, 10, 1);
  const ids = Array.from({ length: 5000 }, (_, i) => `"${i}"\n\u00e9\ud83d\ude00`);
  await index.add(vectors, ids);
  await index.remove([ids[17]!, ids[4999]!]);
  const path = join(folder, 'index');
  await index.save(path);
  const loaded = await FlatIndex.load(path);
  assert.equal(loaded.size, 4998);
  assert.deepEqual(loaded.ids, index.ids);
  const queries = randomVectors(5, 10, 2);
  assert.deepEqual(await loaded.search(queries, 20), await index.search(queries, 20));
  await assert.rejects(index.save(path), { code: 'FILE_EXISTS' });
  await index.save(path, { overwrite: true });
  assert.deepEqual(await readdir(folder), ['index']);
  await FlatIndex.create({ dimensions: 3 }).save(join(folder, 'empty'));
  assert.equal((await FlatIndex.load(join(folder, 'empty'))).size, 0);
});

test('a folder that comes while another is written is not replaced unasked', async () => {
  const target = join(folder, 'index');
  const meanwhile = async function* () {
    yield { vectors: Float32Array.of(1), rows: ['mine'] };
    await writeEmbeddingsFolder(target, 1, [{ vectors: Float32Array.of(2), rows: ['theirs'] }]);
  };
  await assert.rejects(writeEmbeddingsFolder(target, 1, meanwhile()), { code: 'FILE_EXISTS' });
  assert.deepEqual((await openEmbeddingsFolder(target)).ids, ['theirs']);
  assert.deepEqual(await readdir(folder), ['index']);
});

test('reads ids with and without texts', async () => {
  await writeBoth(folder, Float32Array.of(1, 2, 3, 4), 2, '"a"\n{"id": "b", "text": "x\\ny"}\n');
  const stored = await openEmbeddingsFolder(folder);
  assert.deepEqual([stored.rows, stored.dimensions], [2, 2]);
  assert.deepEqual(stored.ids, ['a', 'b']);
  assert.deepEqual(stored.texts, [undefined, 'x\ny']);
});

test('refuses folders that do not fit together', async () => {
  await assert.rejects(openEmbeddingsFolder(folder), { code: 'FILE_NOT_FOUND' });
  await writeBoth(folder, Float32Array.of(1, 2, 3, 4), 2, '"a"\n');
  await assert.rejects(openEmbeddingsFolder(folder), {
    code: 'MALFORMED_FILE',
    message: /2 ids .* received 1/,
  });
  for (const line of ['a', '1', '{"_id": "a"}', '{"id": 1}', 'null', '']) {
    await writeFile(join(folder, 'ids.jsonl'), `"a"\n${line}\n`);
    await assert.rejects(openEmbeddingsFolder(folder), { code: 'MALFORMED_LINE', message: /line 2/ });
  }
});

test('ids that occur again are refused with their number', async () => {
  await writeBoth(folder, Float32Array.of(1, 2, 3, 4, 5, 6), 2, '"a"\n"b"\n"a"\n');
  for (const memoryMap of [false, true]) {
    await assert.rejects(FlatIndex.load(folder, { memoryMap }), {
      code: 'DUPLICATE_ID',
      message: /^1 rows of /,
      hint: /another id column/,
    });
  }
});

test('a stored row with NaN is refused when the index is loaded', async () => {
  await writeBoth(folder, Float32Array.of(1, 2, Number.NaN, 4), 2, '"a"\n"b"\n');
  await assert.rejects(FlatIndex.load(folder), { code: 'INVALID_ARGUMENT', message: /row 1$/ });
});
