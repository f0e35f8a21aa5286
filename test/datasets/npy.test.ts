import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { halfToFloat32 } from '#xlembed/datasets/half.js';
import { NpyWriter, readNpyHeader, readNpyRows } from '#xlembed/datasets/npy.js';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'xlembed-npy-'));
});
afterEach(() => rm(folder, { recursive: true }));

async function readAll(path: string): Promise<number[]> {
  const values: number[] = [];
  for await (const piece of readNpyRows(path)) values.push(...piece);
  return values;
}

/** A .npy file of format 1.0 or 2.0 as numpy writes it, its header padded to a multiple of 64. */
function file(dictionary: string, values: Uint8Array, major = 1): Buffer {
  const begin = major === 1 ? 10 : 12;
  const text = `${dictionary.padEnd(Math.ceil((dictionary.length + begin + 1) / 64) * 64 - begin - 1)}\n`;
  const length = Buffer.alloc(begin - 8);
  if (major === 1) length.writeUInt16LE(text.length);
  else length.writeUInt32LE(text.length);
  return Buffer.concat([
    Buffer.from('\x93NUMPY', 'latin1'),
    Buffer.of(major, 0),
    length,
    Buffer.from(text),
    values,
  ]);
}

test('reads back what it wrote, piece by piece', async () => {
  const path = join(folder, 'a.npy');
  const writer = await NpyWriter.create(path, 3);
  await writer.append(Float32Array.of(1, 2, 3, 4, 5, 6));
  await writer.append(new Float32Array());
  await writer.append(Float32Array.of(0, 7, 8, 9, 0).subarray(1, 4));
  assert.deepEqual((await readdir(folder)).includes('a.npy'), false);
  assert.equal(await writer.close(), 3);
  assert.deepEqual(await readdir(folder), ['a.npy']);
  assert.deepEqual(await readNpyHeader(path), { dtype: 'float32', rows: 3, dimensions: 3, offset: 128 });
  assert.deepEqual(await readAll(path), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

test('writes the bytes that numpy.save writes', async () => {
  const path = join(folder, 'a.npy');
  const writer = await NpyWriter.create(path, 2);
  await writer.append(Float32Array.of(1, -2));
  await writer.close();
  const values = new Uint8Array(Float32Array.of(1, -2).buffer);
  const expected = file("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }", values);
  assert.deepEqual(await readFile(path), expected);
});

test('large arrays come in several pieces of whole rows', async () => {
  const path = join(folder, 'a.npy');
  const [rows, dimensions] = [3000, 2000]; // 24 MB
  const writer = await NpyWriter.create(path, dimensions);
  for (let row = 0; row < rows; row++) await writer.append(new Float32Array(dimensions).fill(row));
  await writer.close();
  let row = 0;
  let pieces = 0;
  for await (const piece of readNpyRows(path)) {
    pieces += 1;
    for (let i = 0; i < piece.length; i += dimensions) {
      assert.equal(piece[i], row);
      assert.equal(piece[i + dimensions - 1], row++);
    }
  }
  assert.deepEqual([row, pieces], [rows, 2]);
});

test('reads float16 and format 2.0', async () => {
  const path = join(folder, 'a.npy');
  const half = Uint16Array.of(0x3c00, 0xc000, 0x7bff, 0x0001, 0x8000, 0x3555);
  const dictionary = "{'descr': '<f2', 'fortran_order': False, 'shape': (2, 3), }";
  await writeFile(path, file(dictionary, new Uint8Array(half.buffer), 2));
  assert.deepEqual(await readAll(path), [1, -2, 65_504, 2 ** -24, -0, 1365 * 2 ** -12]);
  const [infinity, nan] = halfToFloat32(Uint16Array.of(0xfc00, 0x7e00));
  assert.deepEqual([infinity, nan], [Number.NEGATIVE_INFINITY, Number.NaN]);
});

test('refuses files that are not what they say', async () => {
  const path = join(folder, 'a.npy');
  const four = new Uint8Array(16);
  const f4 = (rest: string) => `{'descr': '<f4', ${rest}}`;
  const attacks: [string, Buffer][] = [
    ['other bytes', Buffer.from('PK\x03\x04 not numpy at all')],
    ['too short', Buffer.from('\x93NUMPY', 'latin1')],
    ['big endian', file("{'descr': '>f4', 'fortran_order': False, 'shape': (2, 2)}", four)],
    ['integers', file("{'descr': '<i4', 'fortran_order': False, 'shape': (2, 2)}", four)],
    ['objects', file("{'descr': '|O', 'fortran_order': False, 'shape': (2, 2)}", four)],
    ['Fortran order', file(f4("'fortran_order': True, 'shape': (2, 2)"), four)],
    ['one dimension', file(f4("'fortran_order': False, 'shape': (4,)"), four)],
    ['three dimensions', file(f4("'fortran_order': False, 'shape': (2, 2, 1)"), four)],
    ['no dimension', file(f4("'fortran_order': False, 'shape': (2, 0)"), new Uint8Array())],
    ['more rows than bytes', file(f4("'fortran_order': False, 'shape': (3, 2)"), four)],
    ['fewer rows than bytes', file(f4("'fortran_order': False, 'shape': (1, 2)"), four)],
    ['a huge shape', file(f4("'fortran_order': False, 'shape': (9007199254740993, 9007199254740993)"), four)],
    ['a huge header', Buffer.from('\x93NUMPY\x02\x00\xff\xff\xff\xff{}', 'latin1')],
    ['a later format', file(f4("'fortran_order': False, 'shape': (2, 2)"), four, 3)],
  ];
  for (const [name, bytes] of attacks) {
    await writeFile(path, bytes);
    await assert.rejects(readAll(path), { code: 'MALFORMED_FILE' }, name);
  }
  await assert.rejects(readNpyHeader(join(folder, 'none.npy')), { code: 'FILE_NOT_FOUND' });
});

test('a writer that stops leaves nothing behind', async () => {
  const writer = await NpyWriter.create(join(folder, 'a.npy'), 4);
  await assert.rejects(writer.append(new Float32Array(6)), { code: 'DIMENSION_MISMATCH' });
  await writer.abort();
  assert.deepEqual(await readdir(folder), []);
  await assert.rejects(NpyWriter.create(join(folder, 'none', 'a.npy'), 4), { code: 'FILE_WRITE_FAILED' });
});
