import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ParallelRecord } from '#xlembed/datasets/records.js';
import { Encoder } from '#xlembed/encoding/encoder.js';
import { resolveTrainingOptions, type TrainingOptions } from '#xlembed/training/options.js';
import { RunBatches } from '#xlembed/training/run_batches.js';
import type { RunOptions } from '#xlembed/training/run_options.js';
import { Trainer } from '#xlembed/training/trainer.js';
import { Watch } from '#xlembed/training/watch.js';
import { fresh, MODEL, OPTIONS, RECORDS, train } from './small_run.js';

/** Measures of evaluations 1, 2, ... */
const validation = (values: number[], patience?: number): RunOptions => {
  const left = [...values];
  return {
    validation: {
      every: 2,
      measure: async () => ({ score: left.shift()! }),
      watch: { measure: 'score', patience },
    },
  };
};

test('the best model is kept, training stops when patience ends, and a resume remembers both', async () => {
  const atFour = await train(await fresh(), { until: 4 });
  const checkpoints = await fresh(1);
  const run = validation([0.2, 0.5, 0.4, 0.5, 0.3], 3);
  const stopped = await train(checkpoints, { run, every: 100 });
  assert.deepEqual(
    stopped.events.map(({ step, validation, best }) => [step, validation?.score, best]).filter(([, v]) => v),
    [
      [2, 0.2, true],
      [4, 0.5, true],
      [6, 0.4, false],
      [8, 0.5, false],
      [10, 0.3, false],
    ],
  );
  assert.deepEqual(stopped.trainer.best, { step: 4, value: 0.5 });
  assert.equal(stopped.hash, atFour.hash);

  const parts = await fresh(1);
  await train(parts, { run: validation([0.2, 0.5, 0.4], 3), until: 7, every: 100 });
  assert.deepEqual(parts.steps, [4, 7]);
  const rest = await train(parts, { run: validation([0.5, 0.3], 3), every: 100 });
  assert.deepEqual([rest.events.at(-1)!.step, rest.trainer.best?.step], [10, 4]);
  assert.equal(rest.hash, atFour.hash);
});

test('the best model is that of its step with adapters, too', async () => {
  const options = { lora: { rank: 4, alpha: 8, dropout: 0.1, targets: ['query', 'value'], layers: [] } };
  const atFour = await train(await fresh(), { options, until: 4 });
  const best = await train(await fresh(1), { options, run: validation([1, 3, 2, 2, 2, 2]), every: 5 });
  assert.deepEqual([best.trainer.steps, best.trainer.best?.step], [12, 4]);
  assert.equal(best.hash, atFour.hash);
});

test('evaluations come as often as asked for, and one after the last step', async () => {
  const measured: number[] = [];
  const measure = async (step: number) => ({ score: measured.push(step) });
  const { events } = await train(undefined, { run: { validation: { every: 5, measure } } });
  assert.deepEqual(measured, [5, 10, 12]);
  assert.deepEqual(
    events.flatMap(({ step, validation }) => (validation ? [step] : [])),
    measured,
  );
});

test('a resume that watches another measure, or the same on other data, is refused', async () => {
  const checkpoints = await fresh();
  const watching = (measure: string, task?: string): RunOptions => ({
    validation: {
      every: 2,
      measure: async (step) => ({ loss: 3 - step / 10, accuracy: step / 10 }),
      watch: { measure, task },
    },
  });
  await train(checkpoints, { run: watching('loss', 'one'), until: 4 });
  const refused = (run: RunOptions, message: RegExp) =>
    assert.rejects(train(checkpoints, { run }), { code: 'RESUME_REFUSED', message });
  await refused(watching('accuracy', 'one'), /by loss on one, and now accuracy on one is watched/);
  await refused(watching('loss', 'two'), /by loss on one, and now loss on two is watched/);
  await refused({}, /now nothing is watched/);
  const last = await train(checkpoints, { run: watching('loss', 'one') });
  assert.deepEqual([last.events.length, last.trainer.best?.step], [8, 12]);
});

test('a loss and a language bias are better when smaller, every other measure when larger; NaN is never better', () => {
  const bestOf = (measure: string) => {
    const watch = new Watch({ measure });
    const seen = [NaN, 2, 3, 1, NaN, 2].map((value, step) => watch.see(step, value));
    return [watch.best, seen.map(Number).join('')];
  };
  for (const measure of ['loss', 'language_bias']) {
    assert.deepEqual(bestOf(measure), [{ step: 3, value: 1 }, '010100']);
  }
  for (const measure of ['accuracy', 'multilingual_map']) {
    assert.deepEqual(bestOf(measure), [{ step: 2, value: 3 }, '011000']);
  }
});

test('a measure that no evaluation gives is refused by name', async () => {
  const run = validation([1]);
  run.validation!.watch = { measure: 'map' };
  await assert.rejects(train(await fresh(), { run }), { code: 'INVALID_ARGUMENT', message: /map.*score/ });
});

test('how often a run is saved and evaluated, and its patience, are whole numbers above 0', async () => {
  const checkpoints = await fresh();
  const measure = async () => ({ loss: 1 });
  for (const wrong of [0, 0.5, Number.NaN]) {
    const refused = (run: RunOptions, name: string) =>
      assert.rejects(train(undefined, { run }), {
        code: 'INVALID_ARGUMENT',
        message: RegExp(`for ${name}, `),
      });
    await refused({ checkpoints: { to: checkpoints, every: wrong } }, 'checkpoints.every');
    await refused({ validation: { every: wrong, measure } }, 'validation.every');
    const watch = { measure: 'loss', patience: wrong };
    await refused({ validation: { every: 1, measure, watch } }, 'validation.watch.patience');
  }
  assert.deepEqual(checkpoints.steps, []);
});

test('the loss on held-out records is the same at every call, and falls', async () => {
  const encoder = await Encoder.fresh(MODEL, 1);
  const trainer = await Trainer.create(encoder, RECORDS, { ...OPTIONS, steps: 60 });
  for (const wrong of [0, 1.5]) assert.throws(() => trainer.lossOn(RECORDS, wrong), /for batches, received/);
  const measure = trainer.lossOn(RECORDS.slice(0, 12));
  const before = await measure();
  assert.deepEqual(await measure(), before);
  for await (const _ of trainer.run()) void _;
  const { loss, accuracy } = await measure();
  assert.ok(loss < 0.8 * before.loss && accuracy > before.accuracy && accuracy <= 1);
  await encoder.dispose();
});

test('the loss on held-out records is in the training languages alone, without hard negatives', async () => {
  const encoder = await Encoder.fresh(MODEL, 1);
  const held = RECORDS.slice(0, 10);
  const other = held.map(({ id, query, positive }) => ({
    id,
    query: { ...query, b: `${query.b} w1` },
    positive: { ...positive, b: `${positive.b} w77` },
  }));
  for (const zeroShot of [{ languages: ['a'] }, { holdOut: ['b'] }]) {
    const trainer = await Trainer.create(encoder, RECORDS, {
      ...OPTIONS,
      sampler: 'monolingual',
      negatives: 2,
      ...zeroShot,
    });
    assert.deepEqual(await trainer.lossOn(other)(), await trainer.lossOn(held)());
    const harder = held.map((each) => ({ ...each, negatives: { a: ['w1 w2', 'w3'] } }));
    assert.deepEqual(await trainer.lossOn(harder)(), await trainer.lossOn(held)());
    trainer.dispose();
  }
  const pairs = [{ query: 'a', positive: 'b' }];
  const trainer = await Trainer.create(encoder, RECORDS, {
    ...OPTIONS,
    sampler: 'cross_lingual',
    languagePairs: pairs,
  });
  const swapped = held.map(({ query, positive, ...rest }) => ({
    ...rest,
    query: { ...query, b: `${query.b} w5` },
    positive: { ...positive, a: `${positive.a} w6` },
  }));
  assert.deepEqual(await trainer.lossOn(swapped)(), await trainer.lossOn(held)());
  const refused = (records: ParallelRecord[], what: RegExp) =>
    assert.throws(() => trainer.lossOn(records), {
      code: 'SAMPLER_IMPOSSIBLE',
      message: what,
      hint: /--eval-records/,
    });
  const without = held.map(({ query: { a: _a, ...query }, ...rest }) => ({ ...rest, query }));
  refused(without, /held out .*: none has a language pair such as a-b/);
  refused(held.slice(0, 1), /held out .* fewer than two records/);
  const within = await Trainer.create(encoder, RECORDS, {
    ...OPTIONS,
    sampler: 'monolingual',
    languagePairs: pairs,
  });
  assert.ok((await within.lossOn(without)()).loss > 0, 'a pair that this sampler never draws is not missed');
  await encoder.dispose();
});

test('batches of held-out records are of both kinds as often as alpha makes them so over the run', async () => {
  const encoder = await Encoder.fresh(MODEL, 1);
  const held = RECORDS.slice(0, 10);
  const monolingual = async (
    alpha: TrainingOptions['alpha'],
    sampler: TrainingOptions['sampler'] = 'hybrid',
    accumulate = 1,
  ) => {
    const steps = 1000 / accumulate;
    const options = resolveTrainingOptions({ ...OPTIONS, steps, accumulate, sampler, alpha });
    const batches = new RunBatches(encoder.tokenizer, RECORDS, options, [], undefined);
    const prepare = batches.ofOthers(held, 16);
    const kinds = await Promise.all(Array.from({ length: 16 }, async (_, n) => (await prepare(n)).plan.kind));
    return kinds.filter((kind) => kind === 'monolingual').length;
  };
  assert.equal(await monolingual(0.5), 8);
  assert.equal(await monolingual({ from: 1, to: 0.5 }), 12);
  for (const accumulate of [1, 4]) {
    const steps = [0, 500].map((batch) => ({ batch, alpha: 1 - batch / 1000 }));
    assert.equal(await monolingual(steps, 'hybrid', accumulate), 12);
  }
  assert.equal(await monolingual(0.99), 15);
  assert.equal(await monolingual(0.01), 1);
  assert.equal(await monolingual(1), 16);
  assert.equal(await monolingual(0.5, 'cross_lingual'), 0);
  await encoder.dispose();
});
