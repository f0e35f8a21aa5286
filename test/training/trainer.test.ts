import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { SharedTexts } from '#xlembed/batches/shared_texts.js';
import type { ParallelRecord } from '#xlembed/datasets/records.js';
import { Encoder } from '#xlembed/encoding/encoder.js';
import { openModel } from '#xlembed/models/open_model.js';
import { readSafetensorsHeader } from '#xlembed/models/safetensors.js';
import { saveModel } from '#xlembed/models/save_model.js';
import { canonicalTransformerName } from '#xlembed/models/tensor_names.js';
import type { NativeEncoder, NativeStepResult, NativeTrainer, ParameterInfo } from '#xlembed/native.js';
import { createNativeTrainer } from '#xlembed/training/native_trainer.js';
import { batchTexts } from '#xlembed/training/prepare.js';
import { RunBatches } from '#xlembed/training/run_batches.js';
import { Trainer } from '#xlembed/training/trainer.js';
import { device } from '../device.js';
import { folderOf, largestDifference, MODELS, packed, readGolden } from '../encoding/goldens.js';
import { createEncoder, createTrainer as createTrainerOf } from './native_trainer.js';

async function createTrainer(name: string, options = {}): Promise<[NativeEncoder, NativeTrainer]> {
  const encoder = await createEncoder(name);
  return [encoder, await createTrainerOf(encoder, options)];
}

/** The first values of a parameter, by way of a saved file. */
async function savedValues(name: string, encoder: NativeEncoder, wanted: Record<string, number[]>) {
  const folder = join(mkdtempSync(join(tmpdir(), 'xlembed-')), 'model');
  await saveModel(await openModel(folderOf(name)), encoder, folder);
  const path = join(folder, 'model.safetensors');
  const { tensors } = readSafetensorsHeader(path);
  const bytes = readFileSync(path);
  const values = Object.entries(wanted).map(([tensor, expected]) => {
    const { offset } = tensors.find((found) => canonicalTransformerName(found.name) === tensor)!;
    return expected.map((_, i) => bytes.readFloatLE(offset + 4 * i));
  });
  rmSync(join(folder, '..'), { recursive: true });
  return values.flat();
}

for (const name of MODELS) {
  test(`${name}: three steps of torch's AdamW`, async () => {
    const { sequences, pairs, training } = readGolden(name);
    const [encoder, trainer] = await createTrainer(name);
    for (const [step, loss] of training.losses.entries()) {
      const result = await trainer.step({ ...packed(sequences), queries: pairs, step, learningRate: 1e-3 });
      assert.ok(Math.abs(result.loss - loss) <= 2e-5 * loss, `loss ${result.loss}, expected ${loss}`);
      const norm = training.gradient_norms[step]!;
      assert.ok(
        Math.abs(result.gradientNorm - norm) <= 1e-4 * norm,
        `norm ${result.gradientNorm}, expected ${norm}`,
      );
      assert.equal(result.skipped, false);
    }
    const expected = Object.values(training.weights).flat();
    assert.ok(largestDifference(await savedValues(name, encoder, training.weights), expected) <= 2e-5);
  });
}

test('dropout: the same bits for a seed and step, others for another', async () => {
  const { sequences, pairs } = readGolden('bert');
  const losses = [];
  for (const [seed, step] of [
    [1, 4],
    [1, 4],
    [1, 5],
    [2, 4],
  ] as const) {
    const [, trainer] = await createTrainer('bert', { dropout: true, seed });
    const { loss } = await trainer.step({ ...packed(sequences), queries: pairs, step, learningRate: 1e-3 });
    losses.push(loss);
  }
  assert.equal(losses[0], losses[1]);
  assert.equal(new Set(losses).size, 3);
});

test('a step whose loss is not finite changes nothing', async () => {
  const { sequences, pairs } = readGolden('bert');
  const [encoder, trainer] = await createTrainer('bert', { temperature: 1e-300 });
  const before = await encoder.encode(packed(sequences));
  const result = await trainer.step({ ...packed(sequences), queries: pairs, step: 0, learningRate: 1 });
  assert.equal(result.skipped, true);
  assert.deepEqual(await encoder.encode(packed(sequences)), before);
});

test('wrong batches and models are refused', async () => {
  const { sequences } = readGolden('bert');
  const [encoder, trainer] = await createTrainer('bert');
  const batch = packed(sequences);
  await assert.rejects(trainer.step({ ...batch, queries: 6, step: 0, learningRate: 1 }), /INVALID_ARGUMENT/);
  await assert.rejects(trainer.step({ ...batch, queries: 0, step: 0, learningRate: 1 }), /INVALID_ARGUMENT/);
  trainer.dispose();
  assert.throws(() => trainer.step({ ...batch, queries: 5, step: 0, learningRate: 1 }), /DISPOSED/);
  const half = await createEncoder('bert', { dtype: 'bfloat16' });
  await assert.rejects(createTrainerOf(half), /INVALID_ARGUMENT.*float32/);
  assert.deepEqual(
    encoder.parameters().find((p: ParameterInfo) => p.name === 'embeddings.LayerNorm.bias')!.shape,
    [24],
  );
});

const RECORDS: ParallelRecord[] = Array.from({ length: 12 }, (_, n) => ({
  id: `r${n}`,
  query: { a: `w${10 + n}`, b: `w${30 + n}` },
  positive: { a: `w${50 + n} w9`, b: `w${70 + n} w8` },
  negatives: { a: [`w${50 + ((n + 1) % 12)} w9`, 'w40 w41', 'w42'], b: [] },
}));

const drawnFrom = (records: ParallelRecord[]) => ({
  languages: ['a', 'b'],
  shared: SharedTexts.among(records),
});

test('texts of a batch: hard negatives, none that answers a query of the batch in any language', () => {
  const pair = (record: number) => ({ record, queryLanguage: 'b', positiveLanguage: 'a' });
  const plan = { n: 0, kind: 'cross_lingual' as const, pairs: [pair(0), pair(1)] };
  // Record 0's first negative is record 1's positive; both records share w40 w41 and w42.
  const options = (negatives: number) => ({ negatives, negativeLanguage: 'same' as const });
  const { queries, passages } = batchTexts(plan, RECORDS, drawnFrom(RECORDS), options(2));
  assert.deepEqual(
    queries.map(({ text, language }) => `${language} ${text}`),
    ['b w30', 'b w31'],
  );
  const texts = (found: typeof passages) => found.map(({ text }) => text);
  assert.deepEqual(texts(passages), ['w50 w9', 'w51 w9', 'w40 w41', 'w42', 'w52 w9']);

  // Record 1's answer in the other language, in another spelling.
  const other = { ...RECORDS[0]!, negatives: { a: ['W71  W8', 'w42'] } };
  const two = [other, RECORDS[1]!];
  const found = batchTexts(plan, two, drawnFrom(two), options(1)).passages;
  assert.deepEqual(texts(found.slice(2)), ['w42', 'w52 w9']);

  // Record 2, outside the batch, says that record 0's first negative answers record 1's query.
  const third = { ...RECORDS[2]!, query: RECORDS[1]!.query, positive: { a: 'W71  W8' } };
  const three = [other, { ...RECORDS[1]!, positive: { a: 'w51 w9' } }, third];
  const left = batchTexts(plan, three, drawnFrom(three), options(1)).passages;
  assert.deepEqual(texts(left.slice(2)), ['w42', 'w52 w9']);
});

test('hard negatives in the language of the positive, in others, or in any; never in one that is held out', () => {
  const [first] = RECORDS;
  const negatives = { a: ['a1', 'a2'], b: ['b1', 'b2'], el: ['el1'] };
  const plan = {
    n: 0,
    kind: 'monolingual' as const,
    pairs: [{ record: 0, queryLanguage: 'a', positiveLanguage: 'a' }],
  };
  const records = [{ ...first!, negatives }];
  const of = (negativeLanguage: 'same' | 'other' | 'any', count: number) =>
    batchTexts(plan, records, drawnFrom(records), { negatives: count, negativeLanguage })
      .passages.slice(1)
      .map(({ text, language }) => `${text} ${language}`);
  assert.deepEqual(of('same', 9), ['a1 a', 'a2 a']);
  assert.deepEqual(of('other', 9), ['b1 b', 'b2 b']);
  assert.deepEqual(of('any', 3), ['a1 a', 'b1 b', 'a2 a']);
});

test('a run learns, repeats bit by bit, and stops early without harm', async () => {
  const model = {
    configPath: `${folderOf('bert')}/config.json`,
    tokenizerPath: `${folderOf('bert')}/tokenizer.json`,
  };
  const given = {
    sampler: 'hybrid',
    batchSize: 6,
    steps: 60,
    learningRate: 1e-2,
    seed: 5,
    queryPrompt: '',
    passagePrompt: '',
  } as const;
  const runs = [];
  for (let run = 0; run < 2; ++run) {
    const encoder = await Encoder.fresh(model, 1);
    const trainer = await Trainer.create(encoder, RECORDS, given);
    const events = [];
    for await (const event of trainer.run()) events.push(event);
    runs.push(events);
    trainer.dispose();
    await encoder.dispose();
  }
  assert.equal(runs[0]!.length, 60);
  assert.deepEqual(
    runs[0]!.map(({ loss }) => loss),
    runs[1]!.map(({ loss }) => loss),
  );
  const mean = (losses: number[]) => losses.reduce((sum, loss) => sum + loss) / losses.length;
  const losses = runs[0]!.map(({ loss }) => loss);
  assert.ok(mean(losses.slice(-10)) < 0.7 * mean(losses.slice(0, 10)), losses.join(' '));
  assert.deepEqual(new Set(runs[0]!.map(({ kind }) => kind)), new Set(['monolingual', 'cross_lingual']));

  const encoder = await Encoder.load(folderOf('bert'), { device });
  const trainer = await Trainer.create(encoder, RECORDS, given);
  for await (const event of trainer.run()) if (event.step === 3) break;
  await encoder.dispose();
});

test('a step of several batches is one update by the mean of their gradients, each with its own dropout', async () => {
  const model = {
    configPath: `${folderOf('bert')}/config.json`,
    tokenizerPath: `${folderOf('bert')}/tokenizer.json`,
  };
  const given = { batchSize: 4, steps: 2, warmupSteps: 0, accumulate: 3, seed: 5, learningRate: 1e-2 };
  const encoder = await Encoder.fresh(model, 1);
  const trainer = await Trainer.create(encoder, RECORDS, given);
  const events = [];
  for await (const event of trainer.run()) events.push(event);

  const other = await Encoder.fresh(model, 1);
  const { options } = trainer;
  const native = await createNativeTrainer(other, options, undefined, async () => {});
  const source = new RunBatches(other.tokenizer, RECORDS, options, [], undefined);
  for (const [step, event] of events.entries()) {
    const batches = await source.ofStep(step);
    assert.deepEqual(
      batches.map(({ plan }) => plan.n),
      [3 * step, 3 * step + 1, 3 * step + 2],
    );
    const results: NativeStepResult[] = [];
    for (const [k, batch] of batches.entries()) {
      const learningRate = 1e-2 * (1 - step / 2);
      results.push(
        await native.step({ ...batch, step: batch.plan.n, learningRate, weight: 1 / 3, update: k === 2 }),
      );
    }
    const mean = (name: 'loss' | 'accuracy') => results.reduce((sum, result) => sum + result[name], 0) / 3;
    assert.deepEqual([event.loss, event.accuracy], [mean('loss'), mean('accuracy')]);
    assert.equal(event.gradientNorm, results[2]!.gradientNorm);
    assert.equal(
      event.tokens,
      batches.reduce((sum, { inputIds }) => sum + inputIds.length, 0),
    );
    assert.equal(
      event.pairs,
      batches.reduce((sum, { queries }) => sum + queries, 0),
    );
  }
  const texts = ['w10 w50', 'w31'];
  assert.deepEqual((await encoder.encode(texts)).data, (await other.encode(texts)).data);
  trainer.dispose();
  native.dispose();
  await Promise.all([encoder.dispose(), other.dispose()]);
});

test("prompts: the model's own unless others are given, and the encoder has those of training", async () => {
  const model = {
    configPath: `${folderOf('bert')}/config.json`,
    tokenizerPath: `${folderOf('bert')}/tokenizer.json`,
  };
  const rows: [own: Record<string, string>, given: object, expected: [string, string]][] = [
    [{}, {}, ['Query: ', 'Passage: ']],
    [{ query: 'q: ', document: 'd: ' }, {}, ['q: ', 'd: ']],
    [{ query: 'q: ', passage: 'p: ' }, { queryPrompt: '' }, ['', 'p: ']],
  ];
  for (const [prompts, given, expected] of rows) {
    const encoder = await Encoder.fresh({ ...model, prompts }, 1);
    const trainer = await Trainer.create(encoder, RECORDS, { batchSize: 4, steps: 1, ...given });
    const { queryPrompt, passagePrompt } = trainer.options;
    assert.deepEqual([queryPrompt, passagePrompt], expected);
    assert.deepEqual([encoder.promptOf({ role: 'query' }), encoder.promptOf({ role: 'passage' })], expected);
    trainer.dispose();
    await encoder.dispose();
  }
});

test('three steps in a row without a finite loss end the run, the batch on disk', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'xlembed-'));
  const encoder = await Encoder.load(folderOf('bert'), { device });
  const trainer = await Trainer.create(encoder, RECORDS, { batchSize: 4, steps: 10, temperature: 1e-300 });
  const path = join(folder, 'failed.json');
  let steps = 0;
  await assert.rejects(
    async () => {
      for await (const event of trainer.run({ failedBatchPath: path })) steps += event.skipped ? 1 : 100;
    },
    { code: 'LOSS_NOT_FINITE' },
  );
  assert.equal(steps, 3);
  const failed = JSON.parse(readFileSync(path, 'utf8'));
  assert.deepEqual(
    failed.map(({ n }: { n: number }) => n),
    [0, 1, 2],
  );
  assert.match(failed[2].pairs[0].id, /^r\d+$/);
  const again = await Trainer.create(encoder, RECORDS, { batchSize: 4, steps: 10, temperature: 1e-300 });
  await assert.rejects(
    async () => {
      for await (const _ of again.run({ failedBatchPath: join(folder, 'none', 'failed.json') })) void _;
    },
    { code: 'LOSS_NOT_FINITE', hint: /could not be written: ENOENT/ },
  );
  await encoder.dispose();
  rmSync(folder, { recursive: true });
});

test('one loop at a time; left, the next one goes on', async () => {
  const encoder = await Encoder.load(folderOf('bert'), { device });
  const trainer = await Trainer.create(encoder, RECORDS, { batchSize: 4, steps: 4 });
  for await (const { step } of trainer.run()) {
    await assert.rejects(trainer.run().next(), { code: 'INVALID_ARGUMENT', hint: 'leave its loop first' });
    if (step === 2) break;
  }
  const steps = [];
  for await (const { step } of trainer.run()) steps.push(step);
  assert.deepEqual(steps, [3, 4]);
  await encoder.dispose();
});

test('steps without a finite loss that are not in a row end nothing', async () => {
  const encoder = await Encoder.load(folderOf('bert'), { device });
  const scored = RECORDS.map((record, n) => ({
    ...record,
    positiveScores: { a: n === 3 ? 3e38 : 0.9 },
    negativeScores: { a: [0.2, 0.3, 0.4] },
  }));
  const given = { loss: 'margin_mse', sampler: 'monolingual', batchSize: 2, negatives: 2 } as const;
  const trainer = await Trainer.create(encoder, scored, { ...given, languages: ['a'], steps: 30, seed: 4 });
  const skipped: boolean[] = [];
  for await (const event of trainer.run()) {
    skipped.push(event.skipped);
    const { pairs } = trainer.sampler.plan(event.step - 1);
    assert.equal(
      event.skipped,
      pairs.some(({ record }) => record === 3),
    );
  }
  assert.equal(skipped.length, 30);
  assert.ok(skipped.filter(Boolean).length >= 3);
  await encoder.dispose();
});

test('a trainer that is refused leaves the encoder without adapters', async () => {
  const encoder = await Encoder.load(folderOf('bert'), { device });
  const lora = { rank: 4, alpha: 8, dropout: 0, targets: ['query', 'value'], layers: [] };
  const given = { batchSize: 4, steps: 2, learningRate: 1e-2, lora };
  const before = (await encoder.encode(['w10 w11'])).data;
  for (const wrong of [{ languages: ['zz'] }, { freezeEmbeddings: true, freezeLayers: 9 }]) {
    await assert.rejects(Trainer.create(encoder, RECORDS, { ...given, ...wrong }), {
      code: 'INVALID_ARGUMENT',
    });
  }
  assert.deepEqual((await encoder.encode(['w10 w11'])).data, before);
  const trainer = await Trainer.create(encoder, RECORDS, given);
  for await (const _ of trainer.run()) void _;

  // Adapters that nobody has merged would be trained in place of the weights.
  for (const again of [given, { batchSize: 4, steps: 2 }]) {
    await assert.rejects(Trainer.create(encoder, RECORDS, again), {
      code: 'INVALID_ARGUMENT',
      hint: /finishAdapters/,
    });
  }
  await encoder.dispose();
});
