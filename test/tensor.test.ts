import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { runInNewContext } from 'node:vm';
import type { TensorArray } from '#xlembed/native.js';
import { FlatIndex } from '#xlembed/search/flat_index.js';
import { Tensor } from '#xlembed/tensor.js';

test('every kind of array comes back as it went in', async () => {
  const arrays: [TensorArray, string][] = [
    [Float32Array.of(1.5, -2, 3e-38, 0, Number.POSITIVE_INFINITY, 7), 'float32'],
    [Float64Array.of(0.1, 2, 3, 4, 5, 6), 'float64'],
    [BigInt64Array.of(2n ** 62n, -1n, 0n, 1n, 2n, 3n), 'int64'],
    [Int32Array.of(-(2 ** 31), 2 ** 31 - 1, 0, 1, 2, 3), 'int32'],
    [Int16Array.of(-32768, 32767, 0, 1, 2, 3), 'int16'],
    [Int8Array.of(-128, 127, 0, 1, 2, 3), 'int8'],
    [Uint8Array.of(255, 0, 1, 2, 3, 4), 'uint8'],
  ];
  for (const [array, dtype] of arrays) {
    const tensor = Tensor.from(array, [2, 3]);
    assert.deepEqual([tensor.shape, tensor.dtype, tensor.device, tensor.size], [[2, 3], dtype, 'cpu', 6]);
    const first = array[0];
    array.set(array.slice(1, 2) as never);
    assert.notEqual(array[0], first);
    const data = await tensor.data();
    assert.equal(data.constructor, array.constructor);
    assert.equal(data[0], first);
    assert.deepEqual([...data.slice(1)], [...array.slice(1)]);
  }
});

test('views, shared memory, scalars and nothing at all', async () => {
  const middle = new Float32Array([1, 2, 3, 4]).subarray(1, 3);
  assert.deepEqual(await Tensor.from(middle).data(), Float32Array.of(2, 3));
  const shared = new Int32Array(new SharedArrayBuffer(8));
  shared[1] = 5;
  assert.deepEqual(await Tensor.from(shared).data(), Int32Array.of(0, 5));
  assert.deepEqual(await Tensor.from(Float32Array.of(4), []).data(), Float32Array.of(4));
  assert.deepEqual(await Tensor.from(new Float32Array(0), [0, 3]).data(), new Float32Array(0));
  assert.deepEqual(await Tensor.from(Uint8Array.of(0, 1), [2], 'bool').data(), Uint8Array.of(0, 1));
});

test('arrays of another context, and subclasses such as Buffer', async () => {
  const foreign = runInNewContext('Float32Array.of(1, 0)') as Float32Array;
  assert.deepEqual(await Tensor.from(foreign).data(), Float32Array.of(1, 0));
  assert.deepEqual(await Tensor.from(Buffer.from([1, 255])).data(), Uint8Array.of(1, 255));
  const index = FlatIndex.create({ dimensions: 2 });
  await index.add(foreign, ['a']);
  assert.deepEqual(await index.search({ data: foreign, rows: 1, dimensions: 2 }, 1), [
    [{ id: 'a', score: 1 }],
  ]);
});

test('to: other dtypes and devices', async () => {
  const tensor = Tensor.from(Int32Array.of(-1, 0, 258));
  assert.deepEqual(await (await tensor.to('int64')).data(), BigInt64Array.of(-1n, 0n, 258n));
  assert.deepEqual(await (await tensor.to({ dtype: 'bool' })).data(), Uint8Array.of(1, 0, 1));
  const half = await tensor.to('bfloat16');
  assert.equal(half.dtype, 'bfloat16');
  assert.deepEqual(await half.data(), Float32Array.of(-1, 0, 258));
  assert.equal((await tensor.to('cpu')).dtype, 'int32');
  await assert.rejects(tensor.to('cuda:99'), { code: 'DEVICE_UNAVAILABLE' });
  await assert.rejects(tensor.to('float12'), { code: 'DEVICE_UNAVAILABLE', message: /float12/ });
  await assert.rejects(tensor.to({ dtype: 'complex64' as 'int8' }), { code: 'INVALID_ARGUMENT' });
});

test('a large array outlives its tensor, and memory comes back', async () => {
  const size = 1 << 20;
  const kept = Tensor.from(new Float32Array(size).fill(3));
  const data = await kept.data();
  kept.dispose();
  kept.dispose();
  await assert.rejects(kept.data(), { code: 'DISPOSED' });
  assert.deepEqual([kept.shape, kept.dtype], [[size], 'float32']);
  let peak = 0;
  for (let round = 0; round < 400; ++round) {
    const tensor = Tensor.from(new Float32Array(size).fill(round));
    assert.equal((await tensor.data())[size - 1], round);
    tensor.dispose();
    if (round % 50 === 49) await setImmediate();
    peak = Math.max(peak, process.memoryUsage.rss());
  }
  assert.equal(data[size - 1], 3);
  // 400 tensors of 4 MiB, array and copy: 3.2 GB if nothing were freed.
  assert.ok(peak < 1.2e9, `${peak} bytes`);
});

test('wrong arguments are refused', () => {
  const refused = (call: () => unknown, message: RegExp) =>
    assert.throws(call, { name: 'XlembedError', code: 'INVALID_ARGUMENT', message });
  refused(() => Tensor.from(Float32Array.of(1, 2), [3]), /product is the array's length of 2/);
  refused(() => Tensor.from(Float32Array.of(1, 2), [-1, -2]), /shape/);
  refused(() => Tensor.from(Float32Array.of(1, 2), [0.5, 4]), /shape/);
  refused(() => Tensor.from([1, 2] as unknown as Float32Array), /expected Float32Array, .* for array/);
  refused(() => Tensor.from(new Uint16Array(2) as unknown as Uint8Array), /for array/);
  refused(() => Tensor.from(Uint8Array.of(2), [1], 'bool'), /0 and 1/);
  refused(() => Tensor.from(Int8Array.of(1), [1], 'bool'), /dtype/);
});
