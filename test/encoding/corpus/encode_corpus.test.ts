import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Worker } from 'node:worker_threads';
import { TextInput } from '#xlembed/datasets/texts.js';
import { hash53, hashedIds, repeatedHashes } from '#xlembed/encoding/corpus/duplicate_ids.js';
import { writeLanceTable } from '#xlembed/encoding/corpus/lance_table.js';
import type { CorpusOptions } from '#xlembed/encoding/corpus/options.js';
import { quantized, shortened } from '#xlembed/encoding/corpus/precision.js';
import { ShardReader, type Window } from '#xlembed/encoding/corpus/shard_reader.js';
import { readShards } from '#xlembed/encoding/corpus/shards_folder.js';
import { openEmbeddingsFolder } from '#xlembed/encoding/embeddings_folder.js';
import { Encoder } from '#xlembed/encoding/encoder.js';
import { XlembedError } from '#xlembed/errors.js';
import type { NativeEncoder } from '#xlembed/native.js';
import { largestDifference } from '../goldens.js';
import { contentOf, documentOf, MODEL, sharedEncoder, temporaryFolder, writeCorpus } from './corpus.js';

const folder = await temporaryFolder();
const encoder = await sharedEncoder();
const COUNT = 1000;
const corpus = join(folder, 'corpus.jsonl');
await writeCorpus(corpus, COUNT);
const texts = Array.from({ length: COUNT }, (_, n) => documentOf(n).text);
const expected = await encoder.encode(texts);
let outputs = 0;
const newOutput = () => join(folder, `output${++outputs}`);

async function run(output: string, options: CorpusOptions = {}, input = corpus) {
  return encoder.encodeCorpus(await TextInput.open(input), output, { rowsPerShard: 300, ...options });
}

async function vectorsOf(output: string): Promise<Float32Array> {
  const { rows, dimensions, pieces } = await openEmbeddingsFolder(output);
  const all = new Float32Array(rows * dimensions);
  let position = 0;
  for await (const piece of pieces()) {
    all.set(piece, position);
    position += piece.length;
  }
  return all;
}

for (const format of ['npy', 'safetensors', 'parquet'] as const) {
  test(`${format}: the embeddings, ids and texts of the corpus in its order, in shards`, async () => {
    const output = newOutput();
    const manifest = await run(output, { format });
    assert.deepEqual([manifest.complete, manifest.rows, manifest.shards.length], [true, COUNT, 4]);
    assert.deepEqual(
      manifest.shards.map(({ rows }) => rows),
      [300, 300, 300, 100],
    );
    assert.equal(manifest.tokens, expected.tokens);
    assert.equal(manifest.truncated, expected.truncated);
    const stored = await openEmbeddingsFolder(output);
    assert.deepEqual(
      stored.ids,
      Array.from({ length: COUNT }, (_, n) => `d${n}`),
    );
    assert.deepEqual(stored.texts, texts);
    assert.ok(largestDifference(await vectorsOf(output), expected.data) <= 1e-6);
    assert.equal((await readdir(output)).includes('.progress'), false);
  });
}

test('a complete folder is read piece by piece; for LanceDB its package must be there', async () => {
  const output = newOutput();
  await run(output, { keepTexts: false });
  const ids: string[] = [];
  const values: number[] = [];
  for await (const piece of readShards(output)) {
    assert.equal(piece.vectors.length, piece.ids.length * encoder.dimensions);
    assert.equal(piece.texts[0], undefined);
    ids.push(...piece.ids);
    values.push(...piece.vectors);
  }
  assert.deepEqual([ids.length, ids[999]], [COUNT, 'd999']);
  assert.ok(largestDifference(values, expected.data) <= 1e-6);
  await assert.rejects(writeLanceTable(output, join(folder, 'lance'), 'table'), {
    code: 'PACKAGE_MISSING',
    hint: 'run: npm install @lancedb/lancedb',
  });
});

test('LanceDB: the table has the rows of the corpus; of an empty one there is none, nor an older one', async () => {
  const home = process.cwd();
  const where = join(folder, 'node_modules', '@lancedb', 'lancedb');
  await mkdir(where, { recursive: true });
  await writeFile(join(where, 'package.json'), '{"main":"index.js"}');
  // What is used of LanceDB, in memory.
  await writeFile(
    join(where, 'index.js'),
    `const tables = new Map();
     exports.connect = async () => ({
       createTable: async (name, rows) => {
         tables.set(name, [...rows]);
         return { add: async (more) => tables.get(name).push(...more) };
       },
       tableNames: async () => [...tables.keys()],
       dropTable: async (name) => tables.delete(name),
       tables,
     });`,
  );
  const empty = join(folder, 'empty.jsonl');
  await writeFile(empty, '');
  const [full, none] = [newOutput(), newOutput()];
  await run(full);
  await run(none, {}, empty);
  process.chdir(folder);
  try {
    const { tables } = await createRequire(join(folder, 'x.js'))('@lancedb/lancedb').connect();
    assert.equal(await writeLanceTable(full, 'lance', 'table'), COUNT);
    const { id, text, vector } = tables.get('table')[999];
    assert.deepEqual([tables.get('table').length, id, text, vector.length], [COUNT, 'd999', texts[999], 24]);
    assert.equal(await writeLanceTable(none, 'lance', 'table', { overwrite: true }), 0);
    assert.equal(tables.has('table'), false);
  } finally {
    process.chdir(home);
  }
});

test('float16 and int8 come back as what they stand for', async () => {
  for (const [format, precision, tolerance] of [
    ['npy', 'float16', 2 ** -11],
    ['npy', 'int8', 0.5 / 127],
    ['safetensors', 'float16', 2 ** -11],
    ['safetensors', 'int8', 0.5 / 127],
    ['parquet', 'int8', 0.5 / 127],
  ] as const) {
    const output = newOutput();
    await run(output, { format, precision });
    assert.ok(
      largestDifference(await vectorsOf(output), expected.data) <= tolerance + 1e-6,
      `${format} ${precision}`,
    );
  }
});

test('binary: a bit for each value above 0, the first in the highest', async () => {
  const output = newOutput();
  await run(output, { precision: 'binary' });
  const file = await readFile(join(output, 'shard-00000.npy'));
  assert.match(file.toString('latin1', 0, 128), /'descr': '\|u1'.*\(300, 3\)/);
  for (let d = 0; d < encoder.dimensions; ++d) {
    const bit = (file[128 + (d >> 3)]! >> (7 - (d & 7))) & 1;
    assert.equal(bit, expected.data[d]! > 0 ? 1 : 0);
  }
  await assert.rejects(openEmbeddingsFolder(output), { code: 'INVALID_ARGUMENT', message: /binary/ });
  await assert.rejects(run(newOutput(), { format: 'parquet', precision: 'float16' }), {
    code: 'INVALID_ARGUMENT',
  });
});

test('the first dimensions of each embedding, scaled to length 1 again', async () => {
  const output = newOutput();
  const manifest = await run(output, { dimensions: 8 });
  assert.deepEqual([manifest.dimensions, manifest.normalized], [8, true]);
  const vectors = await vectorsOf(output);
  const kept = expected.data.subarray(24 * 5, 24 * 5 + 8);
  const length = Math.hypot(...kept);
  assert.ok(
    largestDifference(
      vectors.subarray(8 * 5, 8 * 6),
      kept.map((value) => value / length),
    ) <= 1e-6,
  );
  await assert.rejects(run(newOutput(), { dimensions: 25 }), { code: 'INVALID_ARGUMENT' });
});

test('normalize: of no effect on what the head has scaled, and said to be so', async () => {
  assert.deepEqual(await encoder.encode(texts, { normalize: true }), expected);
  const plain = newOutput();
  await run(plain);
  for (const normalize of [true, false]) {
    const output = newOutput();
    assert.equal((await run(output, { normalize })).normalized, true);
    assert.deepEqual(contentOf(output), contentOf(plain));
  }
  const cut = await run(newOutput(), { dimensions: 8, normalize: false });
  assert.equal(cut.normalized, false);
});

test('values stored as bits and bytes: 0 is no value above 0, a vector of zeros stays one, halves go to even', () => {
  const vectors = Float32Array.of(0, -0, 1, -1, 0, 0, 0, 2, 3, 0, ...new Float32Array(10));
  assert.deepEqual([...quantized(vectors, 10, 'binary').values], [0b00100001, 0b10000000, 0, 0]);
  assert.deepEqual([...shortened(vectors.slice(), 10, 2, true)], [0, -0, 0, 0]);
  const bytes = quantized(Float32Array.of(127, 2.5, 3.5, -2.5, -126.4, 0, 0, 0, 0, 0), 5, 'int8');
  assert.deepEqual([...bytes.values], [127, 2, 4, -2, -126, 0, 0, 0, 0, 0]);
  assert.deepEqual([...bytes.scales!], [1, 0]);
});

test('shards are cut into windows that lose no row, and are the same whichever shards come before', async () => {
  const input = join(folder, 'rows.txt');
  const long = 'x'.repeat(2 ** 22);
  const lines = Array.from({ length: 9000 }, (_, n) => (n > 4200 && n < 4206 ? long : `w${n}`));
  await writeFile(input, `${lines.join('\n')}\n`);
  for (const rowsPerShard of [4000, 4096, 4500, 9000]) {
    const shards = Math.ceil(9000 / rowsPerShard);
    const windowsOf = async (numbers: number[]) => {
      const reader = new ShardReader(await TextInput.open(input), rowsPerShard);
      const found: Window[] = [];
      for await (const window of reader.windows(numbers)) found.push(window);
      return { found, shards: reader.shards };
    };
    const whole = await windowsOf(Array.from({ length: shards + 1 }, (_, shard) => shard));
    assert.equal(whole.shards, shards);
    // As many as shards and full windows ask for, and three for the long lines.
    assert.ok(whole.found.length <= shards + 2 + 3 && whole.found.every(({ inputRows }) => inputRows > 0));
    const rows = whole.found.flatMap(({ records, inputRows }) => {
      assert.equal(records.length, inputRows);
      assert.ok(
        records.length <= 4096 && records.reduce((sum, { text }) => sum + text.length, 0) < 2 ** 23 + 2 ** 22,
      );
      return records.map(({ text }) => text);
    });
    assert.ok(rows.length === 9000 && rows.every((text, n) => text === lines[n]));
    for (let shard = 0; shard < shards; shard++) {
      const own = whole.found.filter((window) => window.shard === shard);
      const sum = own.reduce((total, { inputRows }) => total + inputRows, 0);
      assert.equal(sum, Math.min(rowsPerShard, 9000 - shard * rowsPerShard));
      assert.deepEqual(
        own.map(({ first, last }) => [first, last]),
        own.map((_, n) => [n === 0, n === own.length - 1]),
      );
      assert.deepEqual((await windowsOf([shard])).found, own);
    }
  }
});

test('hashes of ids that come twice are found whichever range they are in', async () => {
  const shards = [0, 1, 2].map((shard) =>
    Array.from({ length: 400 }, (_, n) => `${n % 10 === 0 ? n % 40 : `${shard} ${n}`}`),
  );
  const paths = await Promise.all(
    shards.map(async (ids, shard) => {
      const path = join(folder, `${shard}.hashes`);
      await writeFile(path, hashedIds(ids));
      return path;
    }),
  );
  const twice = new Set([0, 10, 20, 30].map((id) => hash53(`${id}`)));
  // As many as make one range, two, and five.
  for (const hashes of [1200, 2 ** 24, 2 ** 25 + 1]) {
    assert.deepEqual(await repeatedHashes(paths, hashes), twice);
  }
  const alone = join(folder, 'alone.hashes');
  await writeFile(alone, hashedIds(['a', 'a']));
  assert.deepEqual(await repeatedHashes([alone], 2), new Set([hash53('a')]));
});

test('a run that was ended goes on to the same bytes, and does no shard twice', async () => {
  const whole = newOutput();
  await run(whole);
  const output = newOutput();
  const stop = new AbortController();
  const first = await run(output, {
    signal: stop.signal,
    onProgress: ({ documents }) => documents > 350 && stop.abort(),
  });
  assert.equal(first.complete, false);
  assert.ok(first.rows >= 300 && first.rows < COUNT, `${first.rows}`);
  const left = JSON.parse(await readFile(join(output, 'manifest.incomplete.json'), 'utf8'));
  assert.deepEqual([left.complete, left.rows, left.shards.length], [false, first.rows, first.rows / 300]);
  await assert.rejects(openEmbeddingsFolder(output), { code: 'MALFORMED_FILE', message: /not ended/ });
  await assert.rejects(run(output), { code: 'FILE_EXISTS', hint: /resume/ });
  const second = await run(output, { resume: true });
  assert.equal(second.figures.documents, COUNT - first.rows);
  assert.deepEqual(contentOf(output), contentOf(whole));
  const third = await run(output, { resume: true });
  assert.deepEqual(third.shards, second.shards);
  assert.equal(third.complete, true);
});

test('a signal that ends many runs is left as it was', async () => {
  const { signal } = new AbortController();
  await run(newOutput(), { signal });
  assert.equal(getEventListeners(signal, 'abort').length, 0);
});

test('malformed lines are counted with the first one named; empty texts are embedded and counted', async () => {
  const input = join(folder, 'odd.jsonl');
  await writeFile(input, '{"text":"w9"}\n{"text":5}\n\n{"text":""}\nno json\n');
  const options = { onMalformed: 'skip' } as const;
  const output = newOutput();
  const manifest = await encoder.encodeCorpus(await TextInput.open(input, options), output, {
    rowsPerShard: 2,
  });
  const { rows, empty, skippedLines, firstSkipped } = manifest;
  assert.deepEqual({ rows, empty, skippedLines }, { rows: 2, empty: 1, skippedLines: 2 });
  assert.match(firstSkipped ?? '', /line 2/);
  assert.deepEqual((await openEmbeddingsFolder(output)).ids, ['1', '4']);
  const [, empties] = [0, await encoder.encode([''])];
  assert.ok(largestDifference((await vectorsOf(output)).subarray(24), empties.data) <= 1e-6);
  await assert.rejects(run(newOutput(), {}, input), { code: 'MALFORMED_LINE', message: /line 2/ });
});

test('an id that occurs twice, in other shards too: refused at the end or counted; nothing is lost', async () => {
  const input = join(folder, 'twice.jsonl');
  const ids = Array.from({ length: 500 }, (_, n) => (n === 450 || n === 20 ? 'd10' : `d${n}`));
  await writeFile(input, ids.map((id) => `${JSON.stringify({ id, text: 'w9' })}\n`).join(''));
  const output = newOutput();
  await assert.rejects(run(output, { rowsPerShard: 100 }, input), {
    code: 'DUPLICATE_ID',
    message: '2 rows have an id that an earlier row has, the first "d10"',
  });
  const manifest = await run(output, { rowsPerShard: 100, resume: true, duplicates: 'count' }, input);
  assert.deepEqual(
    [manifest.duplicateIds, manifest.firstDuplicate, manifest.figures.documents],
    [2, 'd10', 0],
  );
});

test('a device without memory: the batch is halved, the budget with it, and it is said once', async () => {
  const small = await Encoder.load(MODEL, { tokenizerThreads: 1 });
  const encode = small.native.encode.bind(small.native);
  let largest = 0;
  const replaceEncode = (value: NativeEncoder['encode']) =>
    Object.defineProperty(small.native, 'encode', { value, configurable: true });
  replaceEncode(async (batch) => {
    if (batch.inputIds.length > 500) throw new Error('OUT_OF_MEMORY: no memory for this batch');
    largest = Math.max(largest, batch.inputIds.length);
    return encode(batch);
  });
  const notes: string[] = [];
  const output = newOutput();
  // Halved twice, said once.
  const { figures } = await small.encodeCorpus(await TextInput.open(corpus), output, {
    tokenBudget: 1800,
    onNote: (note) => notes.push(note),
  });
  assert.equal(notes.length, 1);
  assert.match(notes[0]!, /out of memory.* 900 tokens/);
  assert.ok(largest > 300);
  assert.ok(figures.realTokenShare > 0.2 && figures.realTokenShare < 1, `${figures.realTokenShare}`);
  assert.ok(largestDifference(await vectorsOf(output), expected.data) <= 1e-6);
  replaceEncode(async () => {
    throw new Error('OUT_OF_MEMORY: none at all');
  });
  await assert.rejects(small.encodeCorpus(await TextInput.open(corpus), newOutput()), {
    code: 'OUT_OF_MEMORY',
  });
  await small.dispose();
});

test('a tokenizer thread that dies is replaced, and its texts are not lost', async () => {
  const workers: Worker[] = [];
  const remember = (worker: Worker) => workers.push(worker);
  process.on('worker', remember);
  const mortal = await Encoder.load(MODEL, { tokenizerThreads: 2 });
  process.off('worker', remember);
  const tokenize = mortal.tokenizer.tokenize.bind(mortal.tokenizer);
  mortal.tokenizer.tokenize = (batch) => {
    const result = tokenize(batch);
    void workers.pop()?.terminate();
    return result;
  };
  const output = newOutput();
  const manifest = await mortal.encodeCorpus(await TextInput.open(corpus), output, { rowsPerShard: 300 });
  assert.ok(manifest.figures.workerRestarts >= 1);
  assert.ok(largestDifference(await vectorsOf(output), expected.data) <= 1e-6);
  mortal.tokenizer.tokenize = async () => {
    throw new XlembedError('WORKER_FAILED', 'each time');
  };
  await assert.rejects(mortal.encodeCorpus(await TextInput.open(corpus), newOutput()), {
    code: 'WORKER_FAILED',
  });
  await mortal.dispose();
});

test('a text of ten million characters is cut before it is tokenised', async () => {
  const input = join(folder, 'long.jsonl');
  await writeFile(input, `${JSON.stringify({ text: 'w9 '.repeat(3_400_000) })}\n{"text":"w8"}\n`);
  const manifest = await run(newOutput(), { keepTexts: false }, input);
  assert.deepEqual([manifest.rows, manifest.truncated, manifest.tokens], [2, 1, encoder.model.maxTokens + 3]);
});

test('figures: rates, the encoder at work, the queues', async () => {
  const { figures } = await run(newOutput());
  assert.equal(figures.documents, COUNT);
  assert.equal(figures.tokens, expected.tokens);
  assert.equal(figures.shards, 4);
  assert.deepEqual([figures.realTokenShare, figures.truncated], [1, expected.truncated]);
  assert.ok(figures.encoderBusy > 0 && figures.encoderBusy <= 1);
  assert.ok(figures.documentsPerSecond > 0);
  assert.ok(['read', 'tokenise', 'encode', 'write'].includes(figures.bottleneck));
  for (const { capacity, mean } of Object.values(figures.queues))
    assert.ok(capacity === 2 && mean >= 0 && mean <= 1);
});
