import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Encoder } from '#xlembed/encoding/encoder.js';
import { Checkpoints } from '#xlembed/training/checkpoints.js';
import { resolveTrainingOptions } from '#xlembed/training/options.js';
import { RunBatches } from '#xlembed/training/run_batches.js';
import type { StepEvent } from '#xlembed/training/step_event.js';
import { Trainer } from '#xlembed/training/trainer.js';
import { folderOf } from '../encoding/goldens.js';
import { folder, fresh, MODEL, OPTIONS, RECORDS, train } from './small_run.js';

test('a run left at any step goes on to the bits of one that was not', async () => {
  const whole = await train(undefined);
  const checkpoints = await fresh();
  const parts: StepEvent[] = [];
  for (const until of [1, 4, 7, 11]) parts.push(...(await train(checkpoints, { until })).events);
  const last = await train(checkpoints);
  assert.equal(last.hash, whole.hash);
  assert.deepEqual(
    [...parts, ...last.events].map(({ step, loss }) => [step, loss]),
    whole.events.map(({ step, loss }) => [step, loss]),
  );
  assert.deepEqual(checkpoints.steps, [11, 12]);
});

test('resume where records come again, with gradients of several batches added up, is exact; batch n is a function of n', async () => {
  // 24 records, 12 pairs a step: two steps draw as many pairs as there are records.
  const options = { accumulate: 2 };
  const whole = await train(undefined, { options });
  assert.ok(whole.events.every(({ pairs }) => pairs === 12));
  const checkpoints = await fresh();
  await train(checkpoints, { options, until: 3 });
  await train(checkpoints, { options, until: 7 });
  const last = await train(checkpoints, { options });
  assert.equal(last.hash, whole.hash);
  assert.equal(last.events[0]!.step, 8);
  const { sampler } = last.trainer;
  const late = sampler.plan(17);
  for (const n of [3, 40, 0]) sampler.plan(n);
  assert.deepEqual(sampler.plan(17), late);
  assert.deepEqual(whole.trainer.sampler.plan(17), late);
  assert.notDeepEqual(sampler.plan(16).pairs, late.pairs);
});

test('a run whose process died goes on from the newest checkpoint', async () => {
  const whole = await train(undefined);
  const checkpoints = await fresh();
  await train(checkpoints, { until: 10 });
  // As if the process had been killed at step 10, while it wrote: what it wrote after step 8 is not there.
  rmSync(checkpoints.folderOf(10), { recursive: true });
  mkdirSync(join(checkpoints.folder, '.step-00000010.0a0b0c.tmp'));
  const again = await Checkpoints.open(checkpoints.folder);
  assert.deepEqual(readdirSync(checkpoints.folder), ['step-00000008']);
  const last = await train(again);
  assert.deepEqual(
    last.events.map(({ step }) => step),
    [9, 10, 11, 12],
  );
  assert.equal(last.hash, whole.hash);
});

test('steps without a finite loss before a resume count as in a row with those behind it', async () => {
  const checkpoints = await fresh();
  const options = { temperature: 1e-300 };
  await train(checkpoints, { options, until: 2 });
  const failedBatchPath = join(folder, 'failed.json');
  await assert.rejects(train(checkpoints, { options, run: { failedBatchPath } }), {
    code: 'LOSS_NOT_FINITE',
  });
  const failed: { n: number }[] = JSON.parse(readFileSync(failedBatchPath, 'utf8'));
  assert.deepEqual(
    failed.map(({ n }) => n),
    [0, 1, 2],
  );
});

test('other options, data or models are refused, and named', async () => {
  const checkpoints = await fresh();
  await train(checkpoints, { until: 4 });
  const refused = (how: Parameters<typeof train>[1], message: RegExp) =>
    assert.rejects(train(checkpoints, how), { code: 'RESUME_REFUSED', message });
  await refused({ options: { learningRate: 2e-2 } }, /learningRate was 0\.01 and is now 0\.02/);
  await refused({ options: { holdOut: ['c'] } }, /holdOut was \[\] and is now \["c"\]/);
  const other = RECORDS.with(3, { ...RECORDS[3]!, positive: { a: 'w9' } });
  await refused({ records: other }, /records or lexicons/);
  const encoder = await Encoder.load(folderOf('xlm-roberta'));
  const trainer = await Trainer.create(encoder, RECORDS, OPTIONS);
  await assert.rejects(trainer.resume(checkpoints.latest!), { code: 'RESUME_REFUSED', message: /tokenizer/ });
  await encoder.dispose();
});

test('what lies beside a tokenizer and decides what it does is compared', async () => {
  const tokenizerPath = join(folder, 'tokenizer.json');
  copyFileSync(MODEL.tokenizerPath, tokenizerPath);
  const checkpoints = await fresh();
  const begin = async () => {
    const encoder = await Encoder.fresh({ ...MODEL, tokenizerPath }, 1);
    return { encoder, trainer: await Trainer.create(encoder, RECORDS, OPTIONS) };
  };
  const first = await begin();
  for await (const _ of first.trainer.run({ checkpoints: { to: checkpoints, every: 1 } })) break;
  await first.encoder.dispose();
  writeFileSync(join(folder, 'tokenizer_config.json'), '{"do_lower_case":false}');
  const { encoder, trainer } = await begin();
  await assert.rejects(trainer.resume(checkpoints.latest!), { code: 'RESUME_REFUSED', message: /tokenizer/ });
  await encoder.dispose();
});

test('a folder that is no checkpoint is refused', async () => {
  const checkpoints = await fresh();
  await train(checkpoints, { until: 4 });
  const state = join(checkpoints.latest!, 'state.json');
  const kept = readFileSync(state, 'utf8');
  for (const text of ['', '{"format":3}', kept.slice(0, -40), kept.replace('"step": 4', '"step": 2')]) {
    writeFileSync(state, text);
    await assert.rejects(train(checkpoints), { code: 'CHECKPOINT_INVALID', message: /state\.json/ });
  }
  writeFileSync(state, kept);
  const weights = join(checkpoints.latest!, 'weights.safetensors');
  writeFileSync(weights, readFileSync(weights).subarray(0, -4));
  await assert.rejects(train(checkpoints), { code: 'CHECKPOINT_INVALID', hint: /the one before/ });
});

test('a checkpoint with a bit that flipped, or a file that is missing or of another checkpoint, is refused', async () => {
  const checkpoints = await fresh();
  await train(checkpoints, { until: 8 });
  const path = (step: number, name: string) => join(checkpoints.folderOf(step), name);
  for (const name of ['weights.safetensors', 'optimizer.safetensors', 'state.json', 'SHA256SUMS']) {
    const kept = readFileSync(path(8, name));
    const refused = () =>
      assert.rejects(train(checkpoints), { code: 'CHECKPOINT_INVALID', hint: /the one before/ }, name);
    copyFileSync(path(4, name), path(8, name));
    await refused();
    const flipped = Buffer.from(kept);
    flipped[flipped.length - 12]! ^= 4;
    writeFileSync(path(8, name), flipped);
    await refused();
    rmSync(path(8, name));
    await refused();
    writeFileSync(path(8, name), kept);
  }
  const sums = spawnSync('sha256sum', ['-c', 'SHA256SUMS'], { cwd: checkpoints.latest, encoding: 'utf8' });
  assert.equal(sums.stdout, 'weights.safetensors: OK\noptimizer.safetensors: OK\nstate.json: OK\n');
  rmSync(checkpoints.folderOf(8), { recursive: true });
  assert.equal((await train(checkpoints)).hash, (await train(undefined)).hash);
});

test('a folder with checkpoints of later steps, or without that of the best, is refused before the first step', async () => {
  const checkpoints = await fresh();
  await train(checkpoints, { until: 8 });
  const encoder = await Encoder.fresh(MODEL, 1);
  const trainer = await Trainer.create(encoder, RECORDS, OPTIONS);
  const run = { checkpoints: { to: checkpoints, every: 4 } };
  const message = /holds a checkpoint of step 8, and this run is at step/;
  await assert.rejects(trainer.run(run).next(), { code: 'FILE_EXISTS', message });
  await trainer.resume(checkpoints.folderOf(4));
  await assert.rejects(trainer.run(run).next(), { code: 'FILE_EXISTS', message });
  await encoder.dispose();

  const watched = await fresh(1);
  const measure = async (step: number) => ({ loss: Math.abs(step - 2) });
  const validation = { every: 2, measure, watch: { measure: 'loss' } };
  await train(watched, { until: 8, run: { validation } });
  assert.deepEqual(watched.steps, [2, 8]);
  rmSync(watched.folderOf(2), { recursive: true });
  await assert.rejects(train(watched, { run: { validation } }), {
    code: 'CHECKPOINT_INVALID',
    message: /best model so far is that of step 2/,
  });
});

test('the checkpoint of a version that draws other batches is refused as that, not as damaged', async () => {
  const checkpoints = await fresh();
  await train(checkpoints, { until: 4 });
  const state = join(checkpoints.latest!, 'state.json');
  const { format, ...rest } = JSON.parse(readFileSync(state, 'utf8'));
  for (const other of [format - 1, format + 1]) {
    writeFileSync(state, JSON.stringify({ ...rest, format: other }));
    const message = /written by another version of xlembed, whose checkpoints, batches or steps/;
    await assert.rejects(train(checkpoints), { code: 'RESUME_REFUSED', message });
  }
});

test('a linear alpha goes over all batches of the run, those that a step adds up included', async () => {
  const encoder = await Encoder.fresh(MODEL, 1);
  const given = { ...OPTIONS, steps: 250, accumulate: 4, alpha: { from: 1, to: 0 } };
  const { sampler } = new RunBatches(
    encoder.tokenizer,
    RECORDS,
    resolveTrainingOptions(given),
    [],
    undefined,
  );
  const quarters = [0, 1, 2, 3].map((quarter) => {
    const kinds = Array.from({ length: 250 }, (_, n) => sampler.plan(250 * quarter + n).kind);
    return kinds.filter((kind) => kind === 'monolingual').length / 250;
  });
  for (const [i, expected] of [0.875, 0.625, 0.375, 0.125].entries()) {
    assert.ok(Math.abs(quarters[i]! - expected) < 0.1, `${quarters}`);
  }
  await encoder.dispose();
});
