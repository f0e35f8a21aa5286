import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { NativeStepResult, NativeTrainerOptions, NativeTrainingBatch } from '#xlembed/native.js';
import { packed, readGolden } from '../encoding/goldens.js';
import { createEncoder, createTrainer } from './native_trainer.js';

const { sequences, pairs } = readGolden('bert');
const passages = sequences.length - pairs;

interface Run {
  results: NativeStepResult[];
  embeddings: Float32Array;
}

/** Three steps, and what the model makes of the texts then. */
async function run(
  options: Partial<NativeTrainerOptions>,
  batch: Partial<NativeTrainingBatch> = {},
): Promise<Run> {
  const encoder = await createEncoder('bert');
  const trainer = await createTrainer(encoder, { normalize: true, ...options });
  const results = [];
  for (let step = 0; step < 3; ++step) {
    results.push(
      await trainer.step({ ...packed(sequences), queries: pairs, step, learningRate: 1e-3, ...batch }),
    );
  }
  return { results, embeddings: await encoder.encode(packed(sequences)) };
}

const losses = ({ results }: Run) => results.map(({ loss }) => loss);

function close(actual: ArrayLike<number>, expected: ArrayLike<number>, allowed: number): void {
  for (let i = 0; i < expected.length; ++i) {
    const difference = Math.abs(actual[i]! - expected[i]!);
    assert.ok(
      difference <= allowed * Math.max(1, Math.abs(expected[i]!)),
      `${actual[i]} against ${expected[i]}`,
    );
  }
}

test('chunks train as the whole batch does, dropout on', async () => {
  const whole = await run({ dropout: true });
  const chunked = await run({ dropout: true, chunkTokens: 12 });
  const kept = await run({ dropout: true, chunkTokens: 12, graphTokens: 1000 });
  assert.equal(whole.results[0]!.chunks, 1);
  assert.ok(chunked.results[0]!.chunks > 2);
  close(losses(chunked), losses(whole), 1e-5);
  assert.deepEqual(kept.embeddings, chunked.embeddings);
});

test('activation checkpointing changes no bit', async () => {
  const plain = await run({ dropout: true });
  const recomputed = await run({ dropout: true, recomputeActivations: true });
  assert.deepEqual(recomputed, { ...plain, results: recomputed.results });
  assert.deepEqual(losses(recomputed), losses(plain));
});

test('bfloat16 and float16 stay close to float32', async () => {
  const plain = await run({});
  close(losses(await run({ precision: 'bfloat16' })), losses(plain), 0.05);
  const half = await run({ precision: 'float16' });
  close(losses(half), losses(plain), 0.01);
  assert.ok(half.results[2]!.lossScale >= 1);
  assert.equal(plain.results[2]!.lossScale, 1);
});

test('float16: a batch whose gradient no scale makes finite is skipped, and the scale stays as it was', async () => {
  const encoder = await createEncoder('bert');
  const trainer = await createTrainer(encoder, { normalize: true, precision: 'float16' });
  const batch = { ...packed(sequences), queries: pairs, learningRate: 1e-3 };
  const before = await trainer.step({ ...batch, step: 0 });
  const bad = await trainer.step({ ...batch, step: 1, weight: 1e30 });
  const after = await trainer.step({ ...batch, step: 2 });
  assert.deepEqual([before.skipped, bad.skipped, after.skipped], [false, true, false]);
  assert.ok(before.lossScale > 1);
  assert.deepEqual([bad.lossScale, after.lossScale], [before.lossScale, before.lossScale]);
});

test('frozen parameters stay, a smaller rate moves less, an early layer trains what leads to it', async () => {
  const values = async (options: Partial<NativeTrainerOptions>) => {
    const encoder = await createEncoder('bert');
    const trainer = await createTrainer(encoder, { normalize: true, weightDecay: 0, ...options });
    const { tensors } = await trainer.state();
    assert.equal(tensors.length, 0);
    await trainer.step({ ...packed(sequences), queries: pairs, step: 0, learningRate: 1e-3 });
    return (await trainer.state()).tensors.map(({ name }) => name);
  };
  const moments = (names: string[], part: string) => names.filter((name) => name.includes(part)).length;
  const all = await values({});
  assert.ok(moments(all, 'embeddings.') > 0 && moments(all, 'layer.1.') > 0);
  const frozen = await values({
    learningRateFactors: [
      { prefix: 'embeddings.', factor: 0 },
      { prefix: 'encoder.layer.0.', factor: 0 },
    ],
  });
  assert.equal(moments(frozen, 'embeddings.') + moments(frozen, 'layer.0.'), 0);
  assert.equal(moments(frozen, 'layer.1.'), moments(all, 'layer.1.'));
  const early = await values({ embeddingLayer: 1 });
  assert.equal(moments(early, 'layer.1.'), 0);
  assert.equal(moments(early, 'layer.0.'), moments(all, 'layer.0.'));
  await assert.rejects(run({ learningRateFactors: [{ prefix: '', factor: 0 }] }), /INVALID_ARGUMENT.*frozen/);
  await assert.rejects(run({ embeddingLayer: 9 }), /INVALID_ARGUMENT.*layer/);
});

test('a learnt temperature moves, and is part of the state', async () => {
  const { results } = await run({ temperatureRate: 100 });
  const temperatures = results.map(({ temperature }) => temperature);
  assert.equal(new Set(temperatures).size, 3);
  assert.ok(temperatures.every((value) => value > 0.02 && value < 0.2));
  assert.ok(Math.abs((await run({})).results[2]!.temperature - 0.05) < 1e-9);
});

test('every loss trains, and its labels reach it', async () => {
  const teacherScores = new Float32Array(pairs * passages).map((_, k) =>
    k % passages === Math.floor(k / passages) ? 1 : Math.sin(k),
  );
  const plain = losses(await run({}));
  const runs = [
    await run({ loss: 'triplet' }),
    await run({ loss: 'kl_distillation' }, { teacherScores }),
    await run({ loss: 'margin_mse' }, { teacherScores }),
    await run({ matryoshkaSizes: [24, 8], matryoshkaWeights: [1, 0.5] }),
    await run({}, { passageGroups: new Int32Array(passages).fill(1) }),
    await run(
      { negativeLanguages: 'same' },
      {
        queryLanguages: Int32Array.from({ length: pairs }, (_, i) => i % 2),
        passageLanguages: Int32Array.from({ length: passages }, (_, i) => i % 2),
      },
    ),
    await run({}, { rowWeights: Float32Array.from({ length: pairs }, (_, i) => i) }),
  ];
  for (const { results } of runs) {
    assert.ok(results.every(({ loss, skipped }) => Number.isFinite(loss) && !skipped));
    assert.notEqual(results[0]!.loss, plain[0]);
  }
  // All passages in one group: no negative is left.
  assert.ok(Math.abs(runs[4]!.results[0]!.loss) < 1e-6);
  await assert.rejects(run({ loss: 'margin_mse' }), /INVALID_ARGUMENT.*teacher/);
  await assert.rejects(
    run({ loss: 'margin_mse' }, { teacherScores: new Float32Array(3) }),
    /INVALID_ARGUMENT.*teacher/,
  );
});

test('of passages without a score nothing is learnt, and nothing breaks', async () => {
  const teacherScores = new Float32Array(pairs * passages).fill(Number.NaN);
  for (const loss of ['kl_distillation', 'margin_mse'] as const) {
    const { results } = await run({ loss }, { teacherScores });
    assert.ok(results.every(({ loss, gradientNorm }) => loss === 0 && gradientNorm === 0));
  }
});

test('a batch that is skipped takes the update with it, wherever among its batches it stands', async () => {
  const encoder = await createEncoder('bert');
  const trainer = await createTrainer(encoder, { normalize: true, loss: 'margin_mse' });
  const scores = (own: number) =>
    new Float32Array(pairs * passages).map((_, k) => (k % (passages + 1) === 0 ? own : 0.5));
  const batch = { ...packed(sequences), queries: pairs, step: 0, learningRate: 1e-3, weight: 0.5 };
  const good = { ...batch, teacherScores: scores(0.9) };
  const bad = { ...batch, teacherScores: scores(3e38) };
  const before = await encoder.encode(packed(sequences));
  for (const [first, second] of [
    [bad, good],
    [good, bad],
  ] as const) {
    await trainer.step({ ...first, update: false });
    assert.equal((await trainer.step(second)).skipped, true);
    assert.deepEqual(await encoder.encode(packed(sequences)), before);
  }
  assert.equal((await trainer.step(good)).skipped, false);
  assert.notDeepEqual(await encoder.encode(packed(sequences)), before);
});

test('two batches at half weight make one update', async () => {
  const encoder = await createEncoder('bert');
  const trainer = await createTrainer(encoder, { normalize: true });
  const batch = { ...packed(sequences), queries: pairs, step: 0, learningRate: 1e-3, weight: 0.5 };
  const first = await trainer.step({ ...batch, update: false });
  assert.equal(first.gradientNorm, 0);
  assert.equal((await trainer.state()).counters.optimizer_steps, 0);
  const second = await trainer.step(batch);
  const { results, embeddings } = await run({});
  close([second.gradientNorm], [results[0]!.gradientNorm], 1e-5);
  assert.ok(embeddings.length > 0);
});

test('a trainer given up between two batches of an update leaves nothing to the next one of its encoder', async () => {
  const encoder = await createEncoder('bert');
  const batch = { ...packed(sequences), queries: pairs, step: 0, learningRate: 1e-3 };
  const abandoned = await createTrainer(encoder, { normalize: true });
  await abandoned.step({ ...batch, update: false });
  abandoned.dispose();
  const trainer = await createTrainer(encoder, { normalize: true });
  const { gradientNorm } = await trainer.step(batch);
  assert.equal(gradientNorm, (await run({})).results[0]!.gradientNorm);
});

/** What training_combined.py wrote. */
interface Combined {
  queries: number;
  batches: number[][][];
  rates: number[];
  options: Partial<NativeTrainerOptions>;
  steps: { losses: number[]; norm: number; temperature: number }[];
  embeddings: number[][];
}

for (const chunkTokens of [0, 40]) {
  const chunks = chunkTokens > 0 ? 'chunks' : 'whole batches';
  test(`many options at once, in ${chunks}: the steps of sentence-transformers' loss and torch's AdamW`, async () => {
    const golden = JSON.parse(readFileSync('test/reference/training_combined.json', 'utf8')) as Combined;
    const { batches, queries, rates } = golden;
    const encoder = await createEncoder('bert');
    const trainer = await createTrainer(encoder, { normalize: true, chunkTokens, ...golden.options });
    for (const [step, expected] of golden.steps.entries()) {
      const results = [];
      for (const [n, batch] of batches.entries()) {
        const part = { step, learningRate: rates[step]!, weight: 1 / batches.length };
        const update = n === batches.length - 1;
        results.push(await trainer.step({ ...packed(batch), queries, ...part, update }));
      }
      const { gradientNorm, temperature } = results.at(-1)!;
      close(
        results.map(({ loss }) => loss),
        expected.losses,
        1e-5,
      );
      close([gradientNorm, temperature / expected.temperature], [expected.norm, 1], 1e-5);
    }
    close(await encoder.encode(packed(batches[0]!)), golden.embeddings.flat(), 1e-5);
  });
}
