import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FlatIndex } from '#xlembed/search/flat_index.js';
import { IdTable } from '#xlembed/search/id_table.js';
import { device } from '../device.js';
import { coded } from './coded.js';
import { randomVectors, ranking } from './vectors.js';

async function filled(rows: number, dimensions: number, seed = 1) {
  const vectors = randomVectors(rows, dimensions, seed);
  const index = FlatIndex.create({ device, dimensions });
  await index.add(vectors);
  return { index, vectors };
}

test('finds what a float64 search finds', async () => {
  const [rows, dimensions, count, k] = [1000, 40, 20, 15];
  const { index, vectors } = await filled(rows, dimensions);
  const queries = randomVectors(count, dimensions, 2);
  const lists = await index.search(queries, k);
  assert.equal(lists.length, count);
  for (const [q, hits] of lists.entries()) {
    const best = ranking(queries, q, vectors, dimensions).slice(0, k);
    assert.deepEqual(
      hits.map((hit) => hit.id),
      best.map(([row]) => String(row)),
    );
    for (const [i, hit] of hits.entries()) assert.ok(Math.abs(hit.score - best[i]![1]) < 1e-4);
  }
  index.dispose();
});

test('equal scores keep the order of arrival', async () => {
  const index = FlatIndex.create({ device, dimensions: 3 });
  for (const id of ['c', 'a', 'b']) await index.add(Float32Array.of(1, 2, 3), [id]);
  await index.add(Float32Array.of(1, 2, 4), ['best']);
  const [hits] = await index.search(Float32Array.of(1, 1, 1), 3);
  assert.deepEqual(
    hits!.map((hit) => hit.id),
    ['best', 'c', 'a'],
  );
});

test('gives fewer than k where there are fewer', async () => {
  const empty = FlatIndex.create({ device, dimensions: 2 });
  assert.deepEqual(await empty.search(Float32Array.of(1, 2, 3, 4), 5), [[], []]);
  await empty.add(new Float32Array());
  assert.equal(empty.size, 0);
  const { index } = await filled(3, 2);
  assert.deepEqual(await index.search(new Float32Array(), 5), []);
  const [hits] = await index.search(Float32Array.of(1, 2), 5);
  assert.deepEqual(hits!.map((hit) => hit.id).sort(), ['0', '1', '2']);
});

test('ranks agree with the full ranking', async () => {
  const [rows, dimensions, count] = [300, 16, 6];
  const { index, vectors } = await filled(rows, dimensions, 3);
  const queries = randomVectors(count, dimensions, 4);
  const relevant = Int32Array.of(0, 299, 17, 5, 5, 80, 81);
  const offsets = Int32Array.of(0, 2, 3, 3, 5, 6, 7);
  const ranks = await index.ranks({ data: queries, rows: count, dimensions }, relevant, offsets);
  for (let q = 0; q < count; q++) {
    const order = ranking(queries, q, vectors, dimensions).map(([row]) => row);
    for (let i = offsets[q]!; i < offsets[q + 1]!; i++)
      assert.equal(ranks[i], order.indexOf(relevant[i]!) + 1);
  }
});

test('searches among some ids alone', async () => {
  const [rows, dimensions] = [500, 12];
  const { index, vectors } = await filled(rows, dimensions, 5);
  const query = randomVectors(1, dimensions, 6);
  const only = Array.from({ length: 60 }, (_, i) => String((i * 37) % rows));
  const [hits] = await index.search(query, 100, { only });
  const expected = ranking(query, 0, vectors, dimensions).filter(([row]) => only.includes(String(row)));
  assert.deepEqual(
    hits!.map((hit) => hit.id),
    expected.map(([row]) => String(row)),
  );
  assert.deepEqual(await index.search(query, 3, { only: [] }), [[]]);
  await assert.rejects(index.search(query, 3, { only: ['500'] }), coded('INVALID_ARGUMENT', /"500"/));
});

test('removed vectors are not found, later ones keep their ids', async () => {
  const { index, vectors } = await filled(200, 8, 7);
  const query = randomVectors(1, 8, 8);
  const best = ranking(query, 0, vectors, 8).map(([row]) => String(row));
  const gone = best.slice(0, 3);
  const before = index.search(query, 5);
  const removal = index.remove(gone);
  const after = index.search(query, 5);
  await removal;
  assert.deepEqual(
    (await before)[0]!.map((hit) => hit.id),
    best.slice(0, 5),
  );
  assert.deepEqual(
    (await after)[0]!.map((hit) => hit.id),
    best.slice(3, 8),
  );
  assert.equal(index.size, 197);
  await index.add(vectors.slice(0, 8));
  assert.equal(index.ids.at(-1), '200');
  await assert.rejects(index.remove(['7', gone[0]!]), coded('INVALID_ARGUMENT'));
  assert.equal(index.size, 198);
});

test('a narrow first pass finds the same', async () => {
  const [rows, dimensions, count] = [3000, 48, 40];
  const { index, vectors } = await filled(rows, dimensions, 14);
  const queries = randomVectors(count, dimensions, 15);
  const expected = await index.search(queries, 12);
  for (const scan of ['bfloat16', 'int8'] as const) {
    const narrow = FlatIndex.create({ device: scan === 'int8' ? 'cpu' : device, dimensions, scan });
    await narrow.add(vectors);
    assert.deepEqual(await narrow.search(queries, 12), expected);
    await narrow.remove(['5']);
    assert.equal(narrow.size, rows - 1);
  }
  const scan = 'int4' as 'int8';
  assert.throws(() => FlatIndex.create({ dimensions, scan }), coded('INVALID_ARGUMENT', /int4/));
});

test('refuses what it cannot search, naming it', async () => {
  for (const dimensions of [0, -1, 1.5, Number.NaN, '4' as unknown as number]) {
    assert.throws(() => FlatIndex.create({ dimensions }), coded('INVALID_ARGUMENT', /dimensions/));
  }
  assert.throws(() => FlatIndex.create({ dimensions: 2, device: 'tpu' }), coded('DEVICE_UNAVAILABLE', /tpu/));
  const { index } = await filled(5, 4);
  for (const k of [0, -1, 2.5, Number.NaN]) {
    await assert.rejects(index.search(new Float32Array(4), k), coded('INVALID_ARGUMENT', /for k,/));
  }
  await assert.rejects(index.search(new Float32Array(6), 1), coded('DIMENSION_MISMATCH', /received 6/));
  const other = { data: new Float32Array(6), rows: 2, dimensions: 3 };
  await assert.rejects(index.search(other, 1), coded('DIMENSION_MISMATCH', /received 3/));
  await assert.rejects(
    index.search([1, 2, 3, 4] as unknown as Float32Array, 1),
    coded('INVALID_ARGUMENT', /queries/),
  );
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1e30]) {
    const vectors = randomVectors(3, 4, 9);
    vectors[2 * 4 + 3] = bad;
    await assert.rejects(index.add(vectors), coded('INVALID_ARGUMENT', /row 2$/));
    await assert.rejects(index.search(vectors, 1), coded('INVALID_ARGUMENT', /queries.* row 2$/));
  }
  const one = new Float32Array(4);
  await assert.rejects(index.add(one, ['3']), coded('INVALID_ARGUMENT', /"3"/));
  await assert.rejects(index.add(one, []), coded('INVALID_ARGUMENT', /ids/));
  assert.equal(index.size, 5);
  const relevant = Int32Array.of(5);
  await assert.rejects(index.ranks(one, relevant, Int32Array.of(0, 1)), coded('INVALID_ARGUMENT', /below 5/));
  for (const offsets of [[0], [0, 2], [1, 1], [0, 1, 1]]) {
    await assert.rejects(
      index.ranks(one, Int32Array.of(1), Int32Array.from(offsets)),
      coded('INVALID_ARGUMENT', /relevantOffsets/),
    );
  }
});

test('many searches at once give what each gives alone', async () => {
  const [dimensions, count] = [24, 60];
  const { index } = await filled(2000, dimensions, 10);
  const queries = randomVectors(count, dimensions, 11);
  const alone = (q: number) => queries.slice(q * dimensions, (q + 1) * dimensions);
  const together = await index.search(queries, 4);
  const lists = await Promise.all(together.map((_, q) => index.search(alone(q), 4)));
  assert.deepEqual(
    lists.map(([hits]) => hits),
    together,
  );
});

test('work in flight ends well when the index is disposed', async () => {
  const { index } = await filled(20_000, 64, 12);
  const queries = randomVectors(200, 64, 13);
  const running = Array.from({ length: 5 }, () => index.search(queries, 10));
  index.dispose();
  index.dispose();
  for (const lists of await Promise.all(running)) assert.equal(lists.length, 200);
  await assert.rejects(index.search(queries, 1), coded('DISPOSED'));
  await assert.rejects(index.add(queries), coded('DISPOSED'));
  await assert.rejects(index.remove(['1']), coded('DISPOSED'));
});

test('vectors that were moved to another thread are refused, they would pass for none', async () => {
  const vectors = new Float32Array(8);
  structuredClone(vectors, { transfer: [vectors.buffer] });
  const index = FlatIndex.create({ dimensions: 4 });
  const moved = { code: 'INVALID_ARGUMENT', message: /vectors was moved to another thread/ };
  await assert.rejects(index.add(vectors), moved);
  await index.add(new Float32Array(0));
  assert.equal(index.size, 0);
});

test('ids keep to their rows through many additions and removals', () => {
  const table = new IdTable();
  let [expected, added]: [string[], number] = [[], 0];
  for (let round = 0; round < 300; ++round) {
    const ids = Array.from({ length: round % 7 }, (_, n) => `${added + n}`);
    table.add(ids.length, round % 2 ? ids : undefined);
    expected.push(...ids);
    added += ids.length;
    const gone = expected.filter((id) => (Number(id) * 7919 + round) % 5 === 0);
    const rows = table.rowsOf(gone);
    assert.deepEqual(
      [...rows].map((row) => expected[row]),
      gone,
    );
    const before = table.ids;
    const shown = [...before];
    table.remove(rows);
    expected = expected.filter((id) => !gone.includes(id));
    assert.deepEqual(table.ids, expected);
    assert.deepEqual([...table.rowsOf([...expected].reverse())], [...expected.keys()]);
    if (gone.length > 0) assert.deepEqual(before, shown);
    for (const id of gone) assert.throws(() => table.rowsOf([id]), { code: 'INVALID_ARGUMENT' });
  }
});
