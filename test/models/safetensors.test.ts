import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readSafetensorsHeader } from '#xlembed/models/safetensors.js';
import { readShards } from '#xlembed/models/weight_shards.js';
import { safetensorsBytes, TWO_TENSORS } from './safetensors_bytes.js';
import { expectedTensors, putFile, putJson, REFERENCE, refusal, sha256, temporaryFolder } from './support.js';

const folder = temporaryFolder();
const readSafetensors = (path: string) => readSafetensorsHeader(path).tensors;

test('every tensor of a file that Python wrote has its bytes at its offset', () => {
  const path = join(REFERENCE, 'bert-version-6/model.safetensors');
  const { tensors, metadata } = readSafetensorsHeader(path);
  const bytes = readFileSync(path);
  const expected = expectedTensors('bert-version-6');
  assert.deepEqual(metadata, { format: 'pt' });
  const names = tensors.map(({ name }) => name).filter((name) => !name.startsWith('pooler.'));
  assert.deepEqual(names.sort(), Object.keys(expected).sort());
  for (const { name, offset, bytes: length, shape, dtype } of tensors.filter(
    (tensor) => expected[tensor.name],
  )) {
    assert.equal(sha256(bytes.subarray(offset, offset + length)), expected[name]!.sha256, name);
    assert.deepEqual([shape, dtype], [expected[name]!.shape, 'F32']);
    assert.equal(bytes.readFloatLE(offset), Math.fround(expected[name]!.first));
  }
});

test("git-lfs's pointer to a file is named", () => {
  const text = `version https://git-lfs.github.com/spec/v1\noid sha256:${'0'.repeat(64)}\nsize 1629438925\n`;
  const path = putFile(join(folder, 'pointer.safetensors'), Buffer.from(text));
  const error = refusal(() => readSafetensors(path), 'FILE_READ_FAILED', /git-lfs's pointer to a file/);
  assert.match(error.hint, /git lfs pull/);
});

test('offsets count from the start of the file, in the order of the bytes', () => {
  const header = { b: TWO_TENSORS.b, __metadata__: { by: 'hand' }, a: TWO_TENSORS.a };
  const text = `${JSON.stringify(header)}   `;
  const path = putFile(join(folder, 'order.safetensors'), safetensorsBytes(text, 28));
  const start = 8 + text.length;
  const file = readSafetensorsHeader(path);
  assert.deepEqual(file.metadata, { by: 'hand' });
  assert.deepEqual(
    file.tensors.map(({ name, offset, bytes }) => [name, offset, bytes]),
    [
      ['a', start, 24],
      ['b', start + 24, 4],
    ],
  );
});

test('no tensors, scalars, empty tensors and elements of less than a byte are all valid', () => {
  const read = (header: unknown, bytes: number) =>
    readSafetensorsHeader(putFile(join(folder, 'rare.safetensors'), safetensorsBytes(header, bytes))).tensors;
  assert.deepEqual(read({}, 0), []);
  assert.deepEqual(read({ a: { dtype: 'F64', shape: [], data_offsets: [0, 8] } }, 8)[0]!.shape, []);
  assert.equal(
    read({ a: { dtype: 'F32', shape: [0, 7], data_offsets: [0, 0] }, b: TWO_TENSORS.a }, 24).length,
    2,
  );
  assert.equal(read({ a: { dtype: 'F4', shape: [4], data_offsets: [0, 2] } }, 2)[0]!.bytes, 2);
  assert.equal(read({ __proto__x: TWO_TENSORS.a }, 24)[0]!.name, '__proto__x');
  const inherited = '{"__proto__": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}';
  assert.equal(read(inherited, 1)[0]!.name, '__proto__');
});

test('a sharded model has the tensors of all its shards', () => {
  const path = join(REFERENCE, 'xlm-roberta-sharded/model.safetensors.index.json');
  const expected = expectedTensors('xlm-roberta-sharded');
  const tensors = readShards(path, readSafetensors, 'SAFETENSORS_INVALID').filter(
    ({ name }) => !name.startsWith('pooler.'),
  );
  assert.deepEqual(tensors.map(({ name }) => name).sort(), Object.keys(expected).sort());
  assert.equal(new Set(tensors.map((tensor) => tensor.path)).size, 2);
  for (const { name, path: shard, offset, bytes } of tensors) {
    assert.equal(sha256(readFileSync(shard).subarray(offset, offset + bytes)), expected[name]!.sha256, name);
  }
});

test('an index that leads out of its folder, or to what is not there, is refused', () => {
  const index = (weightMap: unknown) =>
    putJson(join(folder, 'index/model.safetensors.index.json'), { weight_map: weightMap });
  for (const shard of ['../order.safetensors', '/etc/passwd', 'a/b.safetensors', '..', '', 'a\\b', 'a\0b']) {
    refusal(
      () => readShards(index({ a: shard }), readSafetensors, 'SAFETENSORS_INVALID'),
      'SAFETENSORS_INVALID',
      /shard .* is not the name of a file/,
    );
  }
  const read = (map: unknown) => () => readShards(index(map), readSafetensors, 'SAFETENSORS_INVALID');
  refusal(read({ a: 'gone.safetensors' }), 'FILE_NOT_FOUND', /the shard gone\.safetensors is missing/);
  refusal(read({ a: 3 }), 'SAFETENSORS_INVALID', /weight_map\.a: expected string, received number/);
  refusal(read(undefined), 'SAFETENSORS_INVALID', /weight_map: expected/);
  putFile(join(folder, 'index/one.safetensors'), safetensorsBytes(TWO_TENSORS, 28));
  refusal(read({ c: 'one.safetensors' }), 'SAFETENSORS_INVALID', /"c" is not in its shard one\.safetensors/);
});
