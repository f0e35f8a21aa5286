import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readTorchCheckpoint, stateDictTensors } from '#xlembed/models/torch_checkpoint.js';
import { stateDict, storage } from './pickle_bytes.js';
import { expectedTensors, putFile, REFERENCE, refusal, sha256, temporaryFolder } from './support.js';
import { checkpointBytes } from './zip_bytes.js';

const folder = join(REFERENCE, 'checkpoint');
const scratch = join(temporaryFolder(), 'model.pt');

for (const protocol of [2, 4]) {
  test(`a checkpoint of pickle protocol ${protocol} gives its tensors' places and its other content`, () => {
    const path = join(folder, `protocol-${protocol}.pt`);
    const root = readTorchCheckpoint(path) as Map<string, Map<string, unknown>>;
    assert.deepEqual([...root.keys()], ['params', 'model', 'dictionary']);
    assert.equal(root.get('params')!.get('bidirectional'), true);
    assert.equal(root.get('params')!.get('padding_value'), 0);
    assert.equal(root.get('dictionary')!.get('\u2581\u4e2d'), 5);
    const bytes = readFileSync(path);
    const expected = expectedTensors('checkpoint');
    const tensors = stateDictTensors(root.get('model'), path);
    assert.deepEqual(
      tensors.map(({ name }) => name),
      Object.keys(expected),
    );
    for (const { name, offset, bytes: length, shape, contiguous } of tensors) {
      assert.equal(sha256(bytes.subarray(offset, offset + length)), expected[name]!.sha256, name);
      assert.deepEqual([shape, contiguous], [expected[name]!.shape, true]);
    }
  });
}

test('element types, offsets into a shared storage, and order of the elements', () => {
  const path = join(folder, 'odd.pt');
  const tensors = stateDictTensors(readTorchCheckpoint(path), path);
  const seen = Object.fromEntries(
    tensors.map(({ name, dtype, shape, contiguous }) => [name, [dtype, shape, contiguous]]),
  );
  assert.deepEqual(seen, {
    rows: ['F32', [2, 4], true],
    transposed: ['F32', [4, 3], false],
    expanded: ['F32', [5], false],
    parameter: ['F32', [1], true],
    bfloat16: ['BF16', [2], true],
    int64: ['I64', [1], true],
    scalar: ['F32', [], true],
    empty: ['F32', [0, 3], true],
  });
  const bytes = readFileSync(path);
  const at = (name: string) => tensors.find((tensor) => tensor.name === name)!.offset;
  assert.equal(at('rows') - at('transposed'), 16);
  assert.equal(bytes.readFloatLE(at('rows')), 4);
  assert.equal(bytes.readFloatLE(at('parameter')), 1.5);
  assert.equal(bytes.readBigInt64LE(at('int64')), 2n ** 40n);
});

test('the format before PyTorch 1.6 is named, with the remedy', () => {
  const error = refusal(
    () => readTorchCheckpoint(join(folder, 'before-1.6.pt')),
    'CHECKPOINT_INVALID',
    /has the format of PyTorch before 1\.6/,
  );
  assert.match(error.hint, /torch\.save\(torch\.load\(PATH, weights_only=True\), PATH\)/);
  putFile(scratch, 'version 1\n');
  refusal(() => readTorchCheckpoint(scratch), 'CHECKPOINT_INVALID', /is not a PyTorch zip archive/);
});

test('a checkpoint without a state dict is refused', () => {
  const path = join(folder, 'protocol-2.pt');
  refusal(
    () => stateDictTensors(readTorchCheckpoint(path), path),
    'CHECKPOINT_INVALID',
    /holds no state dict/,
  );
});

test('what a tensor says of its storage is checked', () => {
  const attempt = (bytes: Buffer, message: RegExp, storageBytes = 24) => {
    putFile(scratch, checkpointBytes(bytes, storageBytes));
    refusal(() => readTorchCheckpoint(scratch), 'CHECKPOINT_INVALID', message);
  };
  putFile(scratch, checkpointBytes(stateDict(storage(), 0, [2, 3], [3, 1])));
  assert.equal(stateDictTensors(readTorchCheckpoint(scratch), scratch)[0]!.bytes, 24);
  attempt(stateDict(storage(), 1, [2, 3], [3, 1]), /shape \[2,3\] reaches beyond its storage of 6 elements/);
  attempt(stateDict(storage(), 0, [2, 3], [4, 1]), /reaches beyond its storage/);
  attempt(stateDict(storage(), 7, [0], [1]), /reaches beyond its storage/);
  attempt(stateDict(storage(), 0, [2 ** 30, 2 ** 30], [0, 0]), /reaches beyond its storage/);
  attempt(stateDict(storage(), 0, [2, 3], [1]), /described in an unknown way/);
  attempt(stateDict(storage(), 0, [-2], [1]), /described in an unknown way/);
  attempt(stateDict(storage(), -1, [2], [1]), /described in an unknown way/);
  attempt(stateDict(storage(), 0, Array(65).fill(1), Array(65).fill(1)), /described in an unknown way/);
  attempt(stateDict(storage({ elements: 7 }), 0, [2], [1]), /storage 0: 7 of F32 take 28 bytes, it has 24/);
  attempt(stateDict(storage({ elements: 2 ** 52 }), 0, [2], [1]), /storage 0: .* it has 24/);
  attempt(stateDict(storage({ type: 'DoubleStorage' }), 0, [2], [1]), /6 of F64 take 48 bytes/);
  attempt(stateDict(storage({ key: '1' }), 0, [2], [1]), /storage "1" is not in the archive/);
  attempt(
    stateDict(storage({ key: '../data.pkl' }), 0, [2], [1]),
    /storage "\.\.\/data\.pkl" is not in the archive/,
  );
});

test('another byte order and TorchScript programs are refused', () => {
  const pickle = stateDict(storage(), 0, [6], [1]);
  const bytes = checkpointBytes(pickle);
  bytes.write('big!!!', bytes.indexOf('little'));
  putFile(scratch, bytes);
  refusal(
    () => readTorchCheckpoint(scratch),
    'CHECKPOINT_INVALID',
    /byte order is "big!!!", expected "little"/,
  );
  putFile(scratch, checkpointBytes(pickle, 24, [{ name: 'archive/constants.pkl', data: Buffer.from('x') }]));
  refusal(() => readTorchCheckpoint(scratch), 'CHECKPOINT_INVALID', /TorchScript program/);
  putFile(scratch, checkpointBytes(pickle, 24, [{ name: 'other/data.pkl', data: Buffer.from('x') }]));
  refusal(() => readTorchCheckpoint(scratch), 'CHECKPOINT_INVALID', /expected one data\.pkl, found 2/);
});
