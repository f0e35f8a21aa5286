import assert from 'node:assert/strict';
import { truncateSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readSafetensorsHeader } from '#xlembed/models/safetensors.js';
import { safetensorsBytes, TWO_TENSORS } from './safetensors_bytes.js';
import { putFile, refusal, temporaryFolder } from './support.js';

const path = join(temporaryFolder(), 'model.safetensors');
const { a, b } = TWO_TENSORS;

function attack(header: unknown, dataBytes: number, message: RegExp, declaredLength?: bigint): void {
  putFile(path, safetensorsBytes(header, dataBytes, declaredLength));
  const { message: text } = refusal(() => readSafetensorsHeader(path), 'SAFETENSORS_INVALID', message);
  assert.ok(text.startsWith(path), 'the message names the file');
}

test('a file cut off anywhere is refused', () => {
  const whole = safetensorsBytes(TWO_TENSORS, 28);
  readSafetensorsHeader(putFile(path, whole));
  for (let length = 0; length < whole.length; length++) {
    putFile(path, whole.subarray(0, length));
    refusal(() => readSafetensorsHeader(path), 'SAFETENSORS_INVALID', /header length|beyond the end/);
  }
});

test('a header length beyond the file or the limit is refused before anything is allocated', () => {
  attack({}, 0, /header length 18446744073709551615 is over the limit of 100000000 bytes/, 2n ** 64n - 1n);
  attack({}, 0, /header length 100000001 is over the limit/, 100_000_001n);
  attack({}, 0, /header length 100000000 reaches beyond the end of the file \(10 bytes\)/, 100_000_000n);
  attack({}, 0, /header length 3 reaches beyond/, 3n);
  attack('', 0, /does not start with '\{'/);
});

test('a header that is not a JSON object in UTF-8 is refused', () => {
  attack(' {}', 0, /does not start with '\{'/);
  attack('[]', 0, /does not start with '\{'/);
  attack('\ufeff{}', 0, /does not start with '\{'/);
  attack('{"a"', 0, /is not JSON/);
  attack('{} {}', 0, /is not JSON/);
  attack('{}\0', 0, /is not JSON/);
  putFile(path, Buffer.concat([safetensorsBytes('{"', 0, 5n), Buffer.from([0xff]), Buffer.from('":')]));
  refusal(() => readSafetensorsHeader(path), 'SAFETENSORS_INVALID', /is not UTF-8/);
  attack(`{"a":${'['.repeat(100_000)}`, 0, /nested too deeply/);
});

test('a name that stands twice is refused, however it is spelt', () => {
  const [first, second] = [JSON.stringify(a), JSON.stringify({ ...a, shape: [3, 2] })];
  attack(`{"a":${first},"a":${second}}`, 24, /names "a" twice/);
  attack(`{"a":${first},"\\u0061":${second}}`, 24, /names "a" twice/);
  attack('{"a":{"dtype":"U8","shape":[0],"shape":[1],"data_offsets":[0,1]}}', 1, /names "shape" twice/);
  attack('{"__metadata__":{"x":"1","x":"2"}}', 0, /names "x" twice/);
  attack(`{"${'n'.repeat(5000)}":${first},"${'n'.repeat(5000)}":${second}}`, 24, /twice/);
  const brackets = { 'a","a":{': a, '}{,"': b };
  readSafetensorsHeader(putFile(path, safetensorsBytes(brackets, 28)));
});

test('an entry of another form is refused', () => {
  attack({ a: 7 }, 0, /tensor "a": expected an object, received 7/);
  attack({ a: null }, 0, /tensor "a": expected an object, received null/);
  attack({ a: { ...a, dtype: 'F31' } }, 24, /tensor "a": unknown dtype "F31"/);
  attack({ a: { ...a, dtype: 'toString' } }, 24, /unknown dtype "toString"/);
  attack({ a: { shape: [1], data_offsets: [0, 1] } }, 1, /unknown dtype nothing/);
  attack(
    { a: { ...a, shape: '23' } },
    24,
    /tensor "a": shape: expected non-negative integers, received "23"/,
  );
  for (const size of [-1, 1.5, '2', 2 ** 53, null])
    attack({ a: { ...a, shape: [size] } }, 24, /shape: expected/);
  attack('{"a":{"dtype":"U8","shape":[-0],"data_offsets":[0,0]}}', 0, /shape: expected/);
  attack({ a: { ...a, data_offsets: [0] } }, 24, /expected 2 data_offsets, received 1/);
  attack({ a: { ...a, data_offsets: [0, 24, 24] } }, 24, /expected 2 data_offsets, received 3/);
  attack({ a: { ...a, data_offsets: [24, 0] } }, 24, /end at 0, before they begin at 24/);
  attack({ __metadata__: { format: 1 } }, 0, /__metadata__ is not an object of texts/);
  attack({ __metadata__: ['pt'] }, 0, /__metadata__ is not an object of texts/);
});

test('sizes that do not fit, or overflow, are refused', () => {
  attack({ a: { ...a, shape: [2, 4] } }, 24, /F32 \[2,4\] takes 32 bytes, data_offsets hold 24/);
  const wrapping = { dtype: 'F32', shape: [2 ** 32, 2 ** 32], data_offsets: [0, 0] };
  attack({ a: wrapping }, 0, /the size of shape \[4294967296,4294967296\] overflows/);
  attack({ a: { ...wrapping, shape: [2 ** 51] } }, 0, /overflows/);
  attack({ a: { dtype: 'F4', shape: [3], data_offsets: [0, 2] } }, 2, /F4 \[3\] does not fill whole bytes/);
  attack({ a: { dtype: 'U8', shape: Array(100_000).fill(2), data_offsets: [0, 1] } }, 1, /overflows/);
});

test('tensors that overlap, leave gaps or do not end with the file are refused', () => {
  attack(
    { a, b: { ...b, data_offsets: [20, 24] } },
    24,
    /tensor "b" overlaps the tensor before it: it begins at 20, expected 24/,
  );
  attack({ a, b: { ...a } }, 24, /overlaps the tensor before it/);
  attack(
    { a, b: { ...b, data_offsets: [28, 32] } },
    32,
    /tensor "b" leaves a gap before it: it begins at 28, expected 24/,
  );
  attack({ a: { ...a, data_offsets: [8, 32] } }, 32, /tensor "a" leaves a gap/);
  attack({ a, b }, 27, /the tensors end at byte \d+, beyond the end of the file/);
  attack({ a, b }, 29, /1 bytes follow the last tensor, expected none/);
  attack({}, 1, /1 bytes follow/);
  const far = { dtype: 'U8', shape: [2 ** 49], data_offsets: [0, 2 ** 49] };
  attack({ a: far }, 8, /beyond the end of the file/);
});

test('a large file is read without its tensors', () => {
  const size = 8 * 2 ** 30;
  putFile(path, safetensorsBytes({ a: { dtype: 'U8', shape: [size], data_offsets: [0, size] } }, 0));
  const header = 8 + JSON.stringify({ a: { dtype: 'U8', shape: [size], data_offsets: [0, size] } }).length;
  truncateSync(path, header + size);
  assert.equal(readSafetensorsHeader(path).tensors[0]!.bytes, size);
});

test('what is not a file says so', () => {
  refusal(() => readSafetensorsHeader(`${path}.gone`), 'FILE_NOT_FOUND', /does not exist/);
  refusal(() => readSafetensorsHeader('test'), 'FILE_READ_FAILED', /is not a regular file/);
});
