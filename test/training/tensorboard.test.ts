import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { crc32c } from '#xlembed/training/events/crc32c.js';
import { EventLog } from '#xlembed/training/events/event_log.js';
import { scalarsRecord, versionRecord } from '#xlembed/training/events/tensorboard.js';
import { temporaryFolder } from '../cli/run.js';

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

test('a resume writes the steps before it as they were, a skipped one too', async () => {
  const folder = temporaryFolder();
  const scalars = () => {
    const board = join(folder, 'tensorboard');
    return readFileSync(join(board, readdirSync(board)[0]!)).subarray(versionRecord(0).length);
  };
  const step = {
    ...{ step: 1, kind: 'mixed' as const, loss: Number.NaN, accuracy: 0.5, gradientNorm: Number.NaN },
    ...{ skipped: true, learningRate: 1e-3, pairs: 4, tokens: 40, chunks: 1, chunkTokens: 0 },
    ...{ temperature: 0.05, lossScale: 1 },
    ...{ modelSeconds: 0.5, lossSeconds: 0.1, optimizerSeconds: 0.1, waitSeconds: 0.1, seconds: 1 },
  };
  const log = await EventLog.open(folder, 0);
  await log.write(step);
  await log.close();
  const written = scalars();
  const resumed = await EventLog.open(folder, 1);
  await resumed.close();
  assert.deepEqual({ ...resumed.earlier[0], time: 0 }, { ...step, time: 0 });
  assert.deepEqual(scalars(), written);
});
