import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { FaissIndex } from '#xlembed/search/faiss_index.js';
import { FlatIndex, type Hit } from '#xlembed/search/flat_index.js';
import { hasFaiss, withFaiss } from '../faiss.js';
import { collectGarbage } from '../garbage.js';
import { coded } from './coded.js';
import { clustered, corpus, dimensions, filled, names, queries, rows } from './faiss_corpus.js';

const ids = (hits: Hit[]) => hits.map(({ id }) => id);

function recall(found: Hit[][], expected: Hit[][]): number {
  const shares = expected.map((hits, q) => {
    const those = new Set(ids(found[q]!));
    return ids(hits).filter((id) => those.has(id)).length / hits.length;
  });
  return shares.reduce((sum, share) => sum + share, 0) / shares.length;
}

async function exact(k: number): Promise<Hit[][]> {
  const flat = FlatIndex.create({ dimensions });
  await flat.add(corpus, names);
  return flat.search(queries, k);
}

test('without FAISS every way to an index names the remedy', {
  skip: hasFaiss && 'this addon is built with FAISS',
}, async () => {
  const refusal = (error: { code: string; hint: string }) =>
    error.code === 'FAISS_UNAVAILABLE' && /libfaiss-dev.*xlembed setup/.test(error.hint);
  await assert.rejects(FaissIndex.create({ dimensions, factory: 'Flat' }), refusal);
});

test('an exhaustive index finds what a flat one does, by name', withFaiss, async () => {
  const expected = await exact(10);
  for (const [factory, parameters] of [
    ['Flat', {}],
    ['IVF16,Flat', { nprobe: 16 }],
    ['RR32,IVF8,Flat', { nprobe: 8 }],
  ] as const) {
    const index = await filled(factory);
    await index.setParameters(parameters);
    assert.equal(index.size, rows);
    const found = await index.search(queries, 10);
    assert.deepEqual(found.map(ids), expected.map(ids), factory);
    for (const [q, hits] of found.entries()) {
      for (const [i, { score }] of hits.entries())
        assert.ok(Math.abs(score - expected[q]![i]!.score) < 1e-3, factory);
    }
    index.dispose();
  }
});

test('recall of approximate indexes against exact search', withFaiss, async () => {
  const expected = await exact(10);
  for (const [factory, parameters, least] of [
    ['IVF32,Flat', { nprobe: 8 }, 0.9],
    ['HNSW16', { efSearch: 64 }, 0.9],
    ['IVF16,PQ16x4', { nprobe: 16 }, 0.5],
    ['PQ16x4np', {}, 0.5],
    ['IVF16,SQ8', { nprobe: 16 }, 0.9],
  ] as const) {
    const index = await filled(factory);
    await index.setParameters(parameters);
    const share = recall(await index.search(queries, 10), expected);
    assert.ok(share >= least, `${factory}: ${share}`);
    index.dispose();
  }
});

test('looking into more lists finds more', withFaiss, async () => {
  const expected = await exact(10);
  const index = await filled('IVF64,Flat');
  const shares = [];
  for (const nprobe of [1, 8, 64]) {
    await index.setParameters({ nprobe });
    shares.push(recall(await index.search(queries, 10), expected));
  }
  assert.ok(shares[0]! < shares[2]! && shares[1]! <= shares[2]!, String(shares));
  assert.equal(shares[2], 1);
  await assert.rejects(index.setParameters({ efSearch: 3 }), coded('INVALID_ARGUMENT', /efSearch/));
  await assert.rejects(index.setParameters({ nprobe: Number.NaN }), coded('INVALID_ARGUMENT', /nprobe/));
  await assert.rejects(index.setParameters({ nprobe: -1 }), coded('INVALID_ARGUMENT', /nprobe/));
  for (const value of [0, 0.5, 2 ** 31]) {
    await assert.rejects(index.setParameters({ nprobe: value }), coded('INVALID_ARGUMENT', /nprobe/));
    await assert.rejects(
      index.setParameters({ quantizer_efSearch: value }),
      coded('INVALID_ARGUMENT', /from 1/),
    );
  }
});

test('metric l2: minus the squared distance', withFaiss, async () => {
  const index = await filled('Flat', 'l2');
  const [hits] = await index.search(corpus.subarray(5 * dimensions, 6 * dimensions), 3);
  assert.equal(hits![0]!.id, 'passage 5');
  assert.ok(Math.abs(hits![0]!.score) < 1e-4);
  let distance = 0;
  const other = Number(hits![1]!.id.split(' ')[1]);
  for (let d = 0; d < dimensions; d++)
    distance += (corpus[5 * dimensions + d]! - corpus[other * dimensions + d]!) ** 2;
  assert.ok(Math.abs(hits![1]!.score + distance) < 1e-3);
});

test('removed vectors are not found, and the others keep their ids', withFaiss, async () => {
  for (const factory of ['Flat', 'IVF8,Flat', 'PQ8x4np']) {
    const index = await filled(factory);
    await index.setParameters(factory.startsWith('IVF') ? { nprobe: 8 } : {});
    const [before] = await index.search(queries.subarray(0, dimensions), 40);
    const gone = ids(before!).slice(0, 10);
    const removal = index.remove(gone);
    await removal;
    assert.equal(index.size, rows - 10);
    const [left] = await index.search(queries.subarray(0, dimensions), 30);
    assert.deepEqual(left, before!.slice(10), factory);
    await assert.rejects(index.remove([gone[0]!]), coded('INVALID_ARGUMENT', /passage/));
    // Labels go on counting: a new vector never takes the place of one that is there.
    await index.add(corpus.subarray(0, dimensions), ['new']);
    const [again] = await index.search(queries.subarray(0, dimensions), rows);
    assert.equal(again!.length, rows - 9);
    assert.equal(new Set(ids(again!)).size, rows - 9);
    index.dispose();
  }
});

test('a search that began before a removal names what it finds', withFaiss, async () => {
  const index = await filled('Flat');
  const expected = await index.search(queries, 40);
  const all = index.search(queries, 40);
  await index.remove(names.slice(0, rows - 1));
  assert.deepEqual(await all, expected);
  assert.deepEqual(
    (await index.search(queries, 40)).map((found) => ids(found)),
    Array.from({ length: 50 }, () => [names.at(-1)]),
  );
});

test('ids that are gone take no memory', withFaiss, async () => {
  const index = await FaissIndex.create({ dimensions, factory: 'Flat' });
  await collectGarbage();
  const before = process.memoryUsage().heapUsed;
  for (let round = 0; round < 40; ++round) {
    const added = Array.from({ length: 1000 }, (_, n) => `${round} ${n} `.padEnd(1000, '.'));
    await index.add(corpus.subarray(0, 1000 * dimensions), added);
    await index.remove(added);
  }
  await collectGarbage();
  const grown = process.memoryUsage().heapUsed - before;
  assert.ok(grown < 10e6, `${grown} bytes for 40 MB of ids`);
});

test('an index that cannot forget says so and stays whole', withFaiss, async () => {
  for (const factory of ['HNSW16', 'IVF16,PQ16x4fs', 'IDMap,IVF16,PQ16x4fs']) {
    const index = await filled(factory);
    await assert.rejects(index.remove(['passage 3']), coded('FAISS_FAILED', /remov/));
    assert.equal(index.size, rows);
    const [hits] = await index.search(corpus.subarray(3 * dimensions, 4 * dimensions), 20);
    assert.ok(ids(hits!).includes('passage 3'), factory);
    index.dispose();
  }
});

test(
  'an id that is added again while it turns out not to be removable ends the index',
  withFaiss,
  async () => {
    const index = await filled('HNSW16');
    const removed = assert.rejects(index.remove(['passage 3']), coded('FAISS_FAILED', /remov/));
    await index.add(corpus.subarray(0, dimensions), ['passage 3']);
    await removed;
    await assert.rejects(index.search(queries, 5), coded('FAISS_FAILED', /remov/));
    await assert.rejects(index.save('never'), coded('FAISS_FAILED', /remov/));
  },
);

test(
  'an index with vectors does not learn again: their codes would mean something else',
  withFaiss,
  async () => {
    const index = await filled('PQ8x4np');
    const before = await index.search(queries, 5);
    await assert.rejects(index.train(clustered(500, 3)), coded('INVALID_ARGUMENT', /received 3000/));
    assert.deepEqual(await index.search(queries, 5), before);
  },
);

test('refuses what it cannot search, naming it', withFaiss, async () => {
  const wrong = {
    'a text': 'IVFx',
    'no number': '',
    'a division by zero': 'PQ0x8',
    'unequal parts': 'PQ7x8',
    'a search without an end': 'HNSW1',
    'the same beside lists': 'IVF4_HNSW01,Flat',
    'a division by zero with few vectors': 'NSG32',
    'the same among lists': 'IVF4_NSG16,Flat',
  };
  for (const factory of [...Object.values(wrong), 3 as unknown as string]) {
    await assert.rejects(FaissIndex.create({ dimensions, factory }), coded('INVALID_ARGUMENT'));
  }
  const metric = 'cosine' as 'l2';
  await assert.rejects(
    FaissIndex.create({ dimensions, factory: 'Flat', metric }),
    coded('INVALID_ARGUMENT', /metric/),
  );
  for (const bad of [0, -1, 1.5, Number.NaN])
    await assert.rejects(FaissIndex.create({ dimensions: bad, factory: 'Flat' }), coded('INVALID_ARGUMENT'));
  const index = await FaissIndex.create({ dimensions, factory: 'IVF16,Flat' });
  assert.equal(index.trained, false);
  await assert.rejects(index.add(corpus), coded('INDEX_NOT_TRAINED'));
  await assert.rejects(index.train(corpus.subarray(0, 5 * dimensions)), coded('FAISS_FAILED', /training/i));
  await assert.rejects(index.train(new Float32Array()), coded('INVALID_ARGUMENT', /vectors/));
  await index.train(corpus);
  assert.equal(index.trained, true);
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY, 1e30]) {
    const vectors = corpus.slice(0, 3 * dimensions);
    vectors[2 * dimensions] = value;
    await assert.rejects(index.train(vectors), coded('INVALID_ARGUMENT', /row 2$/));
    await assert.rejects(index.add(vectors), coded('INVALID_ARGUMENT', /row 2$/));
    await assert.rejects(index.search(vectors, 1), coded('INVALID_ARGUMENT', /row 2$/));
  }
  await assert.rejects(index.add(new Float32Array(dimensions + 1)), coded('DIMENSION_MISMATCH'));
  await assert.rejects(
    index.search({ data: new Float32Array(8), rows: 2, dimensions: 4 }, 1),
    coded('DIMENSION_MISMATCH', /received 4/),
  );
  await assert.rejects(index.add(new Float64Array(32) as unknown as Float32Array), coded('INVALID_ARGUMENT'));
  const one = corpus.subarray(0, dimensions);
  assert.deepEqual(await index.search(one, 3), [[]]);
  await index.add(one, ['a']);
  await assert.rejects(index.add(one, ['a']), coded('INVALID_ARGUMENT', /"a"/));
  await assert.rejects(index.add(one, []), coded('INVALID_ARGUMENT', /ids/));
  await assert.rejects(index.remove('a'), coded('INVALID_ARGUMENT', /an array or a set/));
  for (const k of [0, -1, 1.5, Number.NaN])
    await assert.rejects(index.search(one, k), coded('INVALID_ARGUMENT', /for k,/));
  assert.deepEqual(ids((await index.search(one, 5))[0]!), ['a']);
  index.dispose();
  assert.throws(() => index.trained, coded('DISPOSED'));
  await assert.rejects(index.search(one, 1), coded('DISPOSED'));
  await assert.rejects(index.add(one), coded('DISPOSED'));
});

test('one OpenMP runtime, as many threads as were set', {
  skip: withFaiss.skip || (existsSync('/proc/self/task') ? false : 'no /proc'),
}, () => {
  const program = `
    process.env.OMP_WAIT_POLICY = 'passive';
    import { readdirSync, readFileSync } from 'node:fs';
    const { loadNative } = await import('#xlembed/native.js');
    const addon = loadNative();
    const vectors = new Float32Array(20000 * 32).map((_, i) => Math.sin(i * i));
    const index = await addon.createFaissIndex(32, 'IVF16,Flat', 'inner_product');
    const tasks = () => readdirSync('/proc/self/task').length;
    const counts = [];
    for (const threads of [1, 4]) {
      await addon.setThreads(threads);
      await index.train(vectors);
      await index.search(vectors, 2);
      counts.push(tasks());
    }
    const maps = readFileSync('/proc/self/maps', 'utf8');
    const runtimes = new Set(maps.match(/\\/\\S*lib(gomp|iomp5|omp)[.-]\\S*/g));
    console.log(JSON.stringify({ more: counts[1] - counts[0], runtimes: runtimes.size }));`;
  const output = execFileSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' });
  assert.deepEqual(JSON.parse(output), { more: 3, runtimes: 1 });
});
