import assert from 'node:assert/strict';
import { closeSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
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

const skipped = {
  ...{ step: 1, kind: 'mixed' as const, loss: Number.NaN, accuracy: 0.5, gradientNorm: Number.NaN },
  ...{ skipped: true, learningRate: 1e-3, pairs: 4, tokens: 40, chunks: 1, chunkTokens: 0 },
  ...{ temperature: 0.05, lossScale: 1 },
  ...{ modelSeconds: 0.5, lossSeconds: 0.1, optimizerSeconds: 0.1, waitSeconds: 0.1, seconds: 1 },
};

test('a resume writes the steps before it as they were, a skipped one too', async () => {
  const folder = temporaryFolder();
  const scalars = () => {
    const board = join(folder, 'tensorboard');
    return readFileSync(join(board, readdirSync(board)[0]!)).subarray(versionRecord(0).length);
  };
  const log = await EventLog.open(folder, 0);
  await log.write(skipped);
  await log.close();
  const written = scalars();
  const resumed = await EventLog.open(folder, 1);
  await resumed.close();
  assert.deepEqual({ ...resumed.earlier[0], time: 0 }, { ...skipped, time: 0 });
  assert.deepEqual(scalars(), written);
});

test('the steps before a resume are on disk at every moment of its start', async () => {
  const folder = temporaryFolder();
  const path = join(folder, 'training_log.jsonl');
  const log = await EventLog.open(folder, 0);
  for (const step of [1, 2, 3]) await log.write({ ...skipped, step });
  await log.close();
  const before = readFileSync(path, 'utf8');
  const open = openSync(path, 'r');
  await (await EventLog.open(folder, 2)).close();
  assert.equal(readFileSync(open, 'utf8'), before, 'the old file was emptied, not replaced');
  closeSync(open);
  assert.equal(readFileSync(path, 'utf8'), before.split('\n').slice(0, 2).join('\n').concat('\n'));
});

test('a log that is damaged is refused with its line; without it the run goes on', async () => {
  const folder = temporaryFolder();
  const path = join(folder, 'training_log.jsonl');
  writeFileSync(path, `{"step":1,"lo{"step":2}\n`);
  await assert.rejects(EventLog.open(folder, 2), { code: 'MALFORMED_LINE', message: /log\.jsonl line 1/ });
  rmSync(path);
  const log = await EventLog.open(folder, 2);
  await log.write({ ...skipped, step: 3 });
  await log.close();
  const resumed = await EventLog.open(folder, 3);
  await resumed.close();
  assert.deepEqual(
    resumed.earlier.map(({ step }) => step),
    [3],
  );
});
