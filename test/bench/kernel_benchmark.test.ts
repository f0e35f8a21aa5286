import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadNative, type NativeBenchmarkOptions } from '#xlembed/native.js';

const pooled = { sequences: 5, tokens: 7, dimensions: 24 };
const shapes: Record<string, Record<string, number>> = {
  copy: { bytes: 4096 },
  read: { bytes: 4096 },
  matmul: { size: 16 },
  pool_mean: pooled,
  pool_first: pooled,
  pool_max: pooled,
  pool_mean_backward: pooled,
  pool_first_backward: pooled,
  pool_max_backward: pooled,
  normalize: { rows: 9, dimensions: 24 },
  normalize_backward: { rows: 9, dimensions: 24 },
  quantize_int8: { rows: 9, dimensions: 24 },
  quantize_binary: { rows: 9, dimensions: 24 },
  info_nce: { pairs: 33, dimensions: 24 },
  top_k: { rows: 500, dimensions: 24, queries: 3, k: 4 },
  linear: { rows: 13, in: 24, out: 20 },
};

const create = (op: string, more: Partial<NativeBenchmarkOptions> = {}) =>
  loadNative().createKernelBenchmark({
    ...{ op, device: 'cpu', dtype: 'float32', shape: shapes[op]!, inputSets: 2, seed: 3 },
    ...more,
  });

for (const op of Object.keys(shapes)) {
  test(`${op}: every implementation is timed, says what it moves, and agrees with libtorch`, async () => {
    const benchmark = await create(op);
    assert.equal(benchmark.deviceName, '');
    const names = benchmark.implementations.map(({ name }) => name);
    assert.equal(new Set(names).size, names.length);
    const tolerances = { float32: 1e-5, bfloat16: 1e-2, int16: 5e-4, int8: 2e-2 };
    for (const { name, bytes, operations } of benchmark.implementations) {
      assert.ok(bytes > 0 && operations >= 0, name);
      const seconds = await benchmark.run(name, 3);
      assert.ok(seconds > 0 && seconds < 60, `${name}: ${seconds} s`);
    }
    if (names.includes('xlembed')) {
      const reference = names.find((name) => name.startsWith('libtorch'))!;
      // The peers too: whoever does other work is no peer.
      const whole = benchmark.implementations.filter(({ name }) => !name.endsWith('alone'));
      for (const { name, arithmetic } of whole) {
        const difference = await benchmark.difference(name, reference);
        assert.ok(difference < tolerances[arithmetic], `${name} differs from ${reference} by ${difference}`);
      }
    }
    benchmark.dispose();
  });
}

test('the memory of a run is told once there was one', async () => {
  const benchmark = await create('info_nce', { shape: { pairs: 2048, dimensions: 16 } });
  assert.equal(await benchmark.extraBytes('libtorch'), -1);
  await benchmark.run('libtorch', 1);
  const bytes = await benchmark.extraBytes('libtorch');
  // Eager mode holds the similarities; where the system does not tell, it stays -1.
  assert.ok(bytes === -1 || bytes > 2048 * 2048 * 4, String(bytes));
  benchmark.dispose();
});

test('bfloat16 rows agree with libtorch to that precision', async () => {
  const benchmark = await create('normalize', { dtype: 'bfloat16' });
  const difference = await benchmark.difference('xlembed', 'libtorch');
  assert.ok(difference > 0 && difference < 1e-2, String(difference));
  benchmark.dispose();
});

/** Value i of seed s, as native/addon/benchmark_case.h says. */
function drawn(seed: bigint, i: bigint): number {
  const wrap = (value: bigint) => BigInt.asUintN(64, value);
  let z = wrap(((seed << 40n) + i + 1n) * 0x9e3779b97f4a7c15n);
  z = wrap((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
  z = wrap((z ^ (z >> 27n)) * 0x94d049bb133111ebn);
  z ^= z >> 31n;
  return Number(z >> 40n) * 2 ** -23 - 1;
}

test('inputs are those that every machine and every peer draws', async () => {
  const benchmark = await create('copy');
  const values = Array.from({ length: 1024 }, (_, i) => drawn(3n, BigInt(i)));
  const expected = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
  assert.ok(Math.abs((await benchmark.norm('libtorch')) - expected) < 1e-9 * expected);
  benchmark.dispose();
});

test('large tensors may lie in huge pages, unless the user has decided otherwise', () => {
  const chosen = process.env.THP_MEM_ALLOC_ENABLE;
  loadNative();
  assert.equal(process.env.THP_MEM_ALLOC_ENABLE, chosen ?? '1');
});

test('what cannot be timed is refused by name', async () => {
  await assert.rejects(
    create('sorting', { shape: {} }),
    /INVALID_ARGUMENT: there is no benchmark of sorting/,
  );
  await assert.rejects(create('matmul', { shape: {} }), /expected a size above 0 for size of matmul/);
  const benchmark = await create('matmul');
  await assert.rejects(benchmark.run('numpy', 1), /there is no implementation numpy of matmul/);
  benchmark.dispose();
  assert.throws(() => benchmark.implementations, /DISPOSED/);
});
