import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { XlembedError } from '#xlembed/errors.js';
import { loadNative } from '#xlembed/native.js';
import { FaissIndex } from '#xlembed/search/faiss_index.js';
import type { Hit } from '#xlembed/search/flat_index.js';
import { withFaiss } from '../faiss.js';
import { coded } from './coded.js';
import { corpus, dimensions, filled, queries, rows } from './faiss_corpus.js';
import { randomVectors } from './vectors.js';

const work = mkdtempSync(join(tmpdir(), 'xlembed-faiss-files-'));
after(() => rmSync(work, { recursive: true }));

test('what is saved is the same when loaded, in memory and mapped', withFaiss, async () => {
  for (const [number, factory] of ['IVF16,PQ8x4', 'HNSW16', 'Flat'].entries()) {
    const index = await filled(factory);
    if (factory === 'Flat') await index.remove(['passage 7', 'passage 2999']);
    const folder = join(work, `saved-${number}`);
    const texts = new Map([['passage 1', 'one\ntext']]);
    await index.save(folder, { texts });
    await assert.rejects(index.save(folder), coded('FILE_EXISTS'));
    await index.save(folder, { overwrite: true, texts });
    const expected = await index.search(queries, 10);
    const loaded = await FaissIndex.load(folder);
    const mapped = await FaissIndex.load(folder, { memoryMap: true });
    assert.deepEqual(await loaded.search(queries, 10), expected, factory);
    assert.deepEqual(await mapped.search(queries, 10), expected, factory);
    assert.deepEqual(loaded.ids, index.ids);
    assert.equal(mapped.size, index.size);
    await loaded.add(corpus.subarray(0, dimensions));
    assert.equal(loaded.ids.at(-1), String(factory === 'Flat' ? 2999 : 3000));
    await assert.rejects(mapped.add(corpus.subarray(0, dimensions)), coded('INDEX_READ_ONLY'));
    await assert.rejects(mapped.remove(['passage 1']), coded('INDEX_READ_ONLY'));
    await assert.rejects(mapped.save(join(work, 'mapped')), coded('INDEX_READ_ONLY'));
    const lines = readFileSync(join(folder, 'ids.jsonl'), 'utf8').trimEnd().split('\n');
    assert.deepEqual(JSON.parse(lines[1]!), { id: 'passage 1', text: 'one\ntext' });
    for (const one of [index, loaded, mapped]) one.dispose();
  }
});

test('a bare index file has its labels for ids', withFaiss, async () => {
  const index = await filled('IVF8,Flat');
  const folder = join(work, 'bare');
  await index.save(folder);
  const bare = await FaissIndex.load(join(folder, 'index.faiss'));
  const numbers = (hits: Hit[][]) => hits.map((list) => list.map(({ id }) => id.replace('passage ', '')));
  assert.deepEqual(numbers(await bare.search(queries, 5)), numbers(await index.search(queries, 5)));
  await bare.remove(['17']);
  await bare.add(corpus.subarray(0, dimensions));
  assert.equal(bare.ids.at(-1), '3000');
  const mapped = await FaissIndex.load(join(folder, 'index.faiss'), { memoryMap: true });
  assert.deepEqual(numbers(await mapped.search(queries, 5)), numbers(await index.search(queries, 5)));
});

test('files that are no index, or whose ids do not fit, are refused', withFaiss, async () => {
  const index = await filled('Flat');
  const folder = join(work, 'broken');
  await index.save(folder);
  await assert.rejects(FaissIndex.load(join(work, 'nowhere')), coded('FILE_NOT_FOUND', /nowhere/));
  await assert.rejects(FaissIndex.load(work), coded('FILE_NOT_FOUND', /index\.faiss/));
  const lines = readFileSync(join(folder, 'ids.jsonl'), 'utf8');
  writeFileSync(join(folder, 'ids.jsonl'), `${lines}"one more"\n`);
  await assert.rejects(FaissIndex.load(folder), coded('MALFORMED_FILE', /3000 ids/));
  writeFileSync(join(folder, 'ids.jsonl'), lines.replace('"passage 4"', '{"id": 4}'));
  await assert.rejects(FaissIndex.load(folder), coded('MALFORMED_LINE', /line 5/));
  writeFileSync(join(folder, 'ids.jsonl'), lines);
  const bytes = readFileSync(join(folder, 'index.faiss'));
  for (const wrong of [
    bytes.subarray(0, bytes.length / 2),
    bytes.subarray(0, 3),
    Buffer.from('no index at all'),
  ]) {
    writeFileSync(join(folder, 'index.faiss'), wrong);
    const check = coded('MALFORMED_FILE', /index\.faiss/);
    const named = (error: XlembedError) => check(error) && /build it anew/.test(error.hint);
    await assert.rejects(FaissIndex.load(folder), named);
  }
});

test(
  'a file whose sizes contradict each other is refused, whatever FAISS makes of it',
  withFaiss,
  async () => {
    const folder = join(work, 'contradicting');
    const path = join(folder, 'index.faiss');
    for (const factory of ['Flat', 'IVF4,Flat', 'IVF4,PQ2x4', 'IVF4,PQ2x4fs', 'PCA8,Flat', 'HNSW8', 'SQ8']) {
      const index = await filled(factory);
      await index.save(folder, { overwrite: true });
      index.dispose();
      const bytes = readFileSync(path);
      // Where a 64-bit number is the number of vectors, one more of them, in one place at a time.
      for (let at = 0; at < Math.min(bytes.length - 8, 400); ++at) {
        if (bytes.readBigInt64LE(at) !== BigInt(rows)) continue;
        const wrong = Buffer.from(bytes);
        wrong.writeBigInt64LE(BigInt(rows + 1), at);
        writeFileSync(path, wrong);
        // FAISS may take what follows for the size of something, and that for more than there is memory.
        await assert.rejects(FaissIndex.load(folder), { code: /^(MALFORMED_FILE|OUT_OF_MEMORY)$/ });
      }
      writeFileSync(path, bytes);
      (await FaissIndex.load(folder)).dispose();
    }
  },
);

test('a graph whose links lead nowhere is refused', withFaiss, async () => {
  const folder = join(work, 'astray');
  const index = await filled('HNSW8');
  await index.save(folder);
  const path = join(folder, 'index.faiss');
  const bytes = readFileSync(path);
  const wrong = Buffer.from(bytes);
  // Links come behind their number, 64 bits, and behind 3,001 offsets, the last of which is the same number.
  const end = bytes.findLastIndex((_, at) => {
    const links = at + 16 <= bytes.length ? bytes.readBigInt64LE(at) : 0n;
    return links > rows && links < bytes.length && links === bytes.readBigInt64LE(at + 8);
  });
  assert.ok(end > 0);
  wrong.writeInt32LE(rows, end + 16);
  writeFileSync(path, wrong);
  await assert.rejects(FaissIndex.load(folder), coded('MALFORMED_FILE', /link/));
});

test('a full disk is an error, also where it shows only as the file is closed', withFaiss, async () => {
  const index = await loadNative().createFaissIndex(8, 'Flat', 'l2');
  await index.add(randomVectors(10, 8, 1), new Float64Array(10));
  await assert.rejects(index.write('/dev/full'), /FILE_WRITE_FAILED.*space/);
});
