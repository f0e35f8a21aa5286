import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { crc32c } from '#xlembed/training/events/crc32c.js';
import { scalarsRecord, versionRecord } from '#xlembed/training/events/tensorboard.js';

test("an event file has the bytes of TensorBoard's own writer", () => {
  const { hex } = JSON.parse(readFileSync('test/reference/tensorboard.json', 'utf8'));
  const written = Buffer.concat([
    versionRecord(1.5),
    scalarsRecord({
      step: 1,
      time: 1732406400.25,
      values: { 'train/loss': 0.75, 'train/learning_rate': 3e-5 },
    }),
    scalarsRecord({ step: 300, time: 1732406401.5, values: { 'validation/cross_lingual_map': 0.1 } }),
    scalarsRecord({
      step: 3_000_000_000,
      time: 1732406402,
      values: { 'train/loss': Number.POSITIVE_INFINITY },
    }),
  ]);
  assert.equal(written.toString('hex'), hex);
});

test('crc32c gives the answers of RFC 3720, appendix B.4', () => {
  const ascending = Uint8Array.from({ length: 32 }, (_, i) => i);
  assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa);
  assert.equal(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
  assert.equal(crc32c(ascending), 0x46dd794e);
  assert.equal(crc32c(Buffer.from('123456789')), 0xe3069283);
});
