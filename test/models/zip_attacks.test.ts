import assert from 'node:assert/strict';
import { readFileSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { deflateRawSync } from 'node:zlib';
import { readTorchCheckpoint } from '#xlembed/models/torch_checkpoint.js';
import { pickle, stateDict, storage } from './pickle_bytes.js';
import { putFile, REFERENCE, refusal, temporaryFolder } from './support.js';
import { checkpointBytes, type ZipEnd, type ZipPart, zipBytes } from './zip_bytes.js';

const path = join(temporaryFolder(), 'model.pt');
const data = pickle('N');
const PICKLE: ZipPart = { name: 'archive/data.pkl', data };

function attack(parts: ZipPart[], message: RegExp, end: ZipEnd = {}): void {
  putFile(path, zipBytes(parts, end));
  refusal(() => readTorchCheckpoint(path), 'CHECKPOINT_INVALID', message);
}

test('an archive without lies is read', () => {
  putFile(path, zipBytes([PICKLE]));
  assert.equal(readTorchCheckpoint(path), null);
  putFile(path, zipBytes([PICKLE], { comment: 'PK\x05\x06 in a comment' }));
  assert.equal(readTorchCheckpoint(path), null);
});

test('a checkpoint cut off anywhere is refused', () => {
  const whole = readFileSync(join(REFERENCE, 'checkpoint/odd.pt'));
  for (const bytes of [whole, checkpointBytes(stateDict(storage(), 0, [6], [1]))]) {
    for (let length = 0; length < bytes.length; length++) {
      putFile(path, bytes.subarray(0, length));
      refusal(
        () => readTorchCheckpoint(path),
        'CHECKPOINT_INVALID',
        /no end record|is not a PyTorch zip archive/,
      );
    }
  }
});

test('a byte changed anywhere gives a coded error or a value, and never a crash', () => {
  const whole = readFileSync(join(REFERENCE, 'checkpoint/protocol-4.pt'));
  for (let at = 0; at < whole.length; at++) {
    const bytes = Buffer.from(whole);
    bytes[at]! ^= [0x01, 0x80, 0xff][at % 3]!;
    putFile(path, bytes);
    try {
      readTorchCheckpoint(path);
    } catch (error) {
      assert.match(
        (error as { code: string }).code ?? String(error),
        /^CHECKPOINT_(INVALID|REFUSED)$/,
        `byte ${at}`,
      );
    }
  }
});

test('compressed entries are refused, not unpacked', () => {
  const bomb = deflateRawSync(Buffer.alloc(1 << 20));
  attack(
    [{ ...PICKLE, data: bomb, method: 8, size: 1 << 20, compressedSize: bomb.length }],
    /"archive\/data\.pkl" is compressed/,
  );
  attack([{ ...PICKLE, size: 1 << 20, compressedSize: data.length }], /stores \d+ bytes for 1048576/);
  attack([{ ...PICKLE, flags: 1 }], /is encrypted/);
});

test('entries outside the data, or over one another, are refused', () => {
  attack([{ ...PICKLE, size: 1000 }], /reaches beyond the end of the zip data/);
  attack([{ ...PICKLE, size: 0xfffffffe }], /reaches beyond the end of the zip data/);
  attack([{ ...PICKLE, localOffset: 0xfffffffe }], /reaches beyond the end of the zip data/);
  const other = { name: 'archive/data/0', data: Buffer.alloc(8) };
  attack([PICKLE, { ...other, localOffset: 0 }], /overlaps another/);
  attack([PICKLE, { ...other, localOffset: 20 }], /overlaps another/);
  attack([PICKLE, PICKLE], /two entries are named "archive\/data\.pkl"/);
  attack([{ ...PICKLE, localName: 'archive/other.pk' }], /has a local header that is not its own/);
  attack([other, { ...PICKLE, localOffset: 60 }], /local header that is not its own|beyond the end|cut off/);
});

test('names that lead out of the archive are refused', () => {
  for (const name of ['../data.pkl', '/data.pkl', 'a/../../data.pkl', 'a\\data.pkl', 'a/data.pkl\0', '']) {
    attack([{ ...PICKLE, name }], /leads out of the archive/);
  }
});

test('a directory that is not where, or what, its end record says is refused', () => {
  attack([PICKLE], /does not end where its end record begins/, { directoryOffset: 0 });
  attack([PICKLE], /does not end where its end record begins/, { directorySize: 0xfffffff0 });
  attack([PICKLE], /does not end where its end record begins/, { disk: 1 });
  attack([PICKLE], /a zip directory of \d+ bytes for 65535 entries/, { entries: 65535 });
  attack([PICKLE], /expected 0 zip entries, found 1/, { entries: 0 });
  attack([], /is not a PyTorch zip archive/);
  putFile(path, Buffer.concat([zipBytes([PICKLE]), Buffer.from('x')]));
  refusal(() => readTorchCheckpoint(path), 'CHECKPOINT_INVALID', /no end record/);
  attack([{ ...PICKLE, name: 'data.pkl' }], /expected one data\.pkl, found 0/);
});

test('64-bit sizes are read from the extra field, and checked', () => {
  const extra = (...values: bigint[]) => {
    const field = Buffer.alloc(4 + 8 * values.length);
    field.writeUInt16LE(1, 0);
    field.writeUInt16LE(8 * values.length, 2);
    for (const [number, value] of values.entries()) field.writeBigUInt64LE(value, 4 + 8 * number);
    return field;
  };
  const large: ZipPart = { ...PICKLE, size: 0xffffffff, compressedSize: 0xffffffff };
  const length = BigInt(data.length);
  putFile(path, zipBytes([{ ...large, extra: extra(length, length) }]));
  assert.equal(readTorchCheckpoint(path), null);
  attack([{ ...large, extra: extra(length) }], /a 64-bit size in the zip directory is cut off/);
  attack(
    [{ ...large, extra: extra(2n ** 63n, 2n ** 63n) }],
    /names byte 9223372036854775808, beyond its end/,
  );
  attack([large], /reaches beyond the end of the zip data/);
});

test('a pickle of many megabytes is refused unread', () => {
  const size = 17 * 2 ** 20;
  putFile(path, zipBytes([{ ...PICKLE, data: Buffer.alloc(size) }]));
  refusal(() => readTorchCheckpoint(path), 'CHECKPOINT_INVALID', /its pickle has 17825792 bytes/);
  truncateSync(path, 10);
  refusal(() => readTorchCheckpoint(path), 'CHECKPOINT_INVALID', /no end record/);
});
