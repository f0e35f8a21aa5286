import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { lstatSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { open, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { requireWritable, writeTextBeside } from '#xlembed/files/write_file.js';
import { readSafetensorsHeader } from '#xlembed/models/safetensors.js';
import { type TensorToWrite, writeSafetensors } from '#xlembed/models/safetensors_writer.js';
import type { TensorTarget } from '#xlembed/native.js';
import { BYTES, refusalOf, temporaryFolder } from './support.js';

const folder = temporaryFolder();
const path = join(folder, 'model.safetensors');

const TENSORS: TensorToWrite[] = [
  { name: 'half', shape: [3], dtype: 'float16' },
  { name: 'b', shape: [2, 2], dtype: 'float32' },
  { name: 'a\u00e9"', shape: [], dtype: 'float32' },
  { name: 'empty', shape: [0, 4], dtype: 'bfloat16' },
];

/** Fills every element of tensor n of the file with the byte n + 1. */
async function fill(targets: TensorTarget[]): Promise<void> {
  for (const [number, target] of targets.entries()) {
    const { shape, dtype } = TENSORS.find(({ name }) => name === target.name)!;
    const bytes = Buffer.alloc(
      shape.reduce((product, size) => product * size, BYTES[dtype]),
      number + 1,
    );
    const file = await open(target.path, 'r+');
    await file.write(bytes, 0, bytes.length, target.offset);
    await file.close();
  }
}

test('what is written has its bytes at the offsets of its header, aligned, larger elements first', async () => {
  await writeSafetensors(path, TENSORS, { format: 'pt' }, fill);
  const { tensors, metadata } = readSafetensorsHeader(path);
  assert.deepEqual(metadata, { format: 'pt' });
  assert.deepEqual(tensors.map(({ name }) => name).sort(), TENSORS.map(({ name }) => name).sort());
  assert.deepEqual(
    tensors.filter(({ bytes }) => bytes > 0).map(({ name }) => name),
    ['a\u00e9"', 'b', 'half'],
  );
  const bytes = readFileSync(path);
  assert.equal(tensors[0]!.offset % 8, 0);
  for (const { name, offset, bytes: length } of tensors.filter((tensor) => tensor.bytes > 0)) {
    const values = new Set(bytes.subarray(offset, offset + length));
    assert.equal(values.size, 1, name);
  }
});

test('no tensors make a valid file', async () => {
  await writeSafetensors(join(folder, 'none'), [], {}, async () => {});
  assert.deepEqual(readSafetensorsHeader(join(folder, 'none')).tensors, []);
});

test('a failed write keeps the old file and leaves nothing beside it', async () => {
  writeFileSync(path, 'old');
  const attempts: [() => Promise<void>, RegExp][] = [
    [() => Promise.reject(new Error('no space')), /no space/],
    [() => Promise.reject(new TypeError('wrong')), /wrong/],
  ];
  for (const [write, message] of attempts) {
    await refusalOf(() => writeSafetensors(path, TENSORS, {}, write), 'FILE_WRITE_FAILED', message);
  }
  const shrink = (targets: TensorTarget[]) => truncate(targets[0]!.path, 5);
  await refusalOf(
    () => writeSafetensors(path, TENSORS, {}, shrink),
    'FILE_WRITE_FAILED',
    /expected \d+ bytes, 5 were written/,
  );
  assert.equal(readFileSync(path, 'utf8'), 'old');
  assert.deepEqual(readdirSync(folder).sort(), ['model.safetensors', 'none']);
});

test('names and shapes that cannot be written are refused', async () => {
  const write =
    (...tensors: TensorToWrite[]) =>
    () =>
      writeSafetensors(path, tensors, {}, async () => {});
  const tensor: TensorToWrite = { name: 'a', shape: [1], dtype: 'float32' };
  await refusalOf(write(tensor, tensor), 'INVALID_ARGUMENT', /distinct names/);
  await refusalOf(write({ ...tensor, name: '__metadata__' }), 'INVALID_ARGUMENT', /distinct names/);
  for (const shape of [[-1], [1.5], [2 ** 30, 2 ** 30]]) {
    await refusalOf(write({ ...tensor, shape }), 'INVALID_ARGUMENT', /the shape of a/);
  }
  await refusalOf(
    () => writeSafetensors(join(folder, 'no/folder/x'), [tensor], {}, async () => {}),
    'FILE_WRITE_FAILED',
    /ENOENT/,
  );
});

test('of a link the file that it leads to is replaced; a pipe, a device and a folder never are', async () => {
  const [target, link, pipe] = ['target', 'link', 'pipe'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  writeFileSync(target, 'old');
  symlinkSync('target', link);
  await writeTextBeside(link, 'new');
  assert.equal(readFileSync(target, 'utf8'), 'new');
  assert.ok(lstatSync(link).isSymbolicLink());
  execFileSync('mkfifo', [pipe]);
  for (const [path, what] of [
    [pipe, /a device or a pipe/],
    [folder, /a folder/],
  ] as const) {
    await refusalOf(() => writeTextBeside(path, 'new'), 'FILE_WRITE_FAILED', what);
    await refusalOf(() => requireWritable(path), 'FILE_WRITE_FAILED', what);
  }
  assert.ok(lstatSync(pipe).isFIFO());
  await refusalOf(() => requireWritable(join(target, 'file')), 'FILE_WRITE_FAILED', /target/);
});
