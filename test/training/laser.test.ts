import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ParallelRecord } from '#xlembed/datasets/records.js';
import { Encoder } from '#xlembed/encoding/encoder.js';
import { openModel } from '#xlembed/models/open_model.js';
import { readSafetensorsHeader } from '#xlembed/models/safetensors.js';
import { saveModel } from '#xlembed/models/save_model.js';
import { loadNative, type NativeEncoder } from '#xlembed/native.js';
import type { TrainingOptions } from '#xlembed/training/options.js';
import { Trainer } from '#xlembed/training/trainer.js';
import { device } from '../device.js';
import { largestDifference, packed } from '../encoding/goldens.js';
import { LASER, laserGolden } from '../encoding/laser_golden.js';

const OPTIONS = {
  temperature: 0.05,
  symmetric: false,
  weightDecay: 0.01,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  maxGradientNorm: 1,
  dropout: false,
  seed: 0,
  normalize: true,
};

async function createEncoder(dropout = 0): Promise<NativeEncoder> {
  const { backbone, head, sources } = await openModel(LASER);
  assert.ok(backbone.type === 'lstm');
  return loadNative().createEncoder({
    backbone: { ...backbone, dropout },
    head,
    weights: { sources },
    device: 'cpu',
    dtype: 'float32',
  });
}

/** Rows 4 to 7 of matrices, elements 4 to 7 of vectors, by way of a saved file. */
async function savedValues(encoder: NativeEncoder, wanted: Record<string, number[]>): Promise<number[]> {
  const folder = join(mkdtempSync(join(tmpdir(), 'xlembed-')), 'model');
  await saveModel(await openModel(LASER), encoder, folder);
  const path = join(folder, 'model.safetensors');
  const { tensors } = readSafetensorsHeader(path);
  const bytes = readFileSync(path);
  const values = Object.entries(wanted).flatMap(([name, expected]) => {
    const { offset, shape } = tensors.find((tensor) => tensor.name === name)!;
    const first = 4 * (shape[1] ?? 1);
    return expected.map((_, i) => bytes.readFloatLE(offset + 4 * (first + i)));
  });
  rmSync(join(folder, '..'), { recursive: true });
  return values;
}

test("LASER-2: three steps of torch's AdamW", async () => {
  const { sequences, pairs, training } = laserGolden;
  const encoder = await createEncoder();
  const trainer = await loadNative().createTrainer(encoder, OPTIONS);
  for (const [step, loss] of training.losses.entries()) {
    const result = await trainer.step({ ...packed(sequences), queries: pairs, step, learningRate: 1e-3 });
    assert.ok(Math.abs(result.loss - loss) <= 2e-5 * loss, `loss ${result.loss}, expected ${loss}`);
    const norm = training.gradient_norms[step]!;
    assert.ok(
      Math.abs(result.gradientNorm - norm) <= 1e-4 * norm,
      `norm ${result.gradientNorm}, expected ${norm}`,
    );
  }
  const expected = Object.values(training.weights).flat();
  assert.ok(largestDifference(await savedValues(encoder, training.weights), expected) <= 2e-5);
});

test('LASER-2: dropout lies between the layers, and repeats for a seed', async () => {
  const { sequences, pairs } = laserGolden;
  const losses = [];
  for (const [probability, seed] of [
    [0.5, 1],
    [0.5, 1],
    [0.5, 2],
    [0, 1],
  ] as const) {
    const trainer = await loadNative().createTrainer(await createEncoder(probability), {
      ...OPTIONS,
      dropout: true,
      seed,
    });
    const batch = { ...packed(sequences), queries: pairs, step: 0, learningRate: 1e-3 };
    losses.push((await trainer.step(batch)).loss);
  }
  assert.equal(losses[0], losses[1]);
  assert.equal(new Set(losses).size, 3);
  assert.ok(Math.abs(losses[3]! - laserGolden.training.losses[0]!) <= 2e-5 * losses[3]!);
});

const RECORDS: ParallelRecord[] = Array.from({ length: 10 }, (_, n) => ({
  id: `r${n}`,
  query: { a: laserGolden.texts[n]!.text },
  positive: { a: `${laserGolden.texts[n]!.text} ${n}` },
}));

test('LASER-2: what an LSTM cannot do is refused before the first step', async () => {
  const encoder = await Encoder.load(LASER, { device });
  for (const option of [
    { embeddingLayer: 1 },
    { recomputeActivations: true },
    { precision: 'bfloat16' },
  ] as const) {
    await assert.rejects(Trainer.create(encoder, RECORDS, { sampler: 'monolingual', ...option }), {
      code: 'MODEL_UNSUPPORTED',
    });
  }
  await encoder.dispose();
});

test('LASER-2: frozen embeddings and layers stay as they are, and a decayed rate moves a layer less', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'xlembed-'));
  const given = {
    sampler: 'monolingual',
    batchSize: 5,
    steps: 2,
    warmupSteps: 0,
    learningRate: 1e-2,
  } as const;
  const tensorsAfter = async (options: Partial<TrainingOptions>) => {
    const encoder = await Encoder.load(LASER, { device });
    const trainer = await Trainer.create(encoder, RECORDS, { ...given, ...options });
    for await (const _ of trainer.run()) void _;
    await encoder.save(folder, { overwrite: true });
    await encoder.dispose();
    const path = join(folder, 'model.safetensors');
    const bytes = readFileSync(path);
    return new Map(
      readSafetensorsHeader(path).tensors.map(({ name, offset, shape }) => {
        const count = shape.reduce((product, size) => product * size, 1);
        return [name, Array.from({ length: count }, (_, i) => bytes.readFloatLE(offset + 4 * i))];
      }),
    );
  };
  const before = await tensorsAfter({ freezeLayers: 2, learningRate: 1e-30 });
  const change = (after: Map<string, number[]>, name: string) =>
    largestDifference(after.get(name)!, before.get(name)!);
  const frozen = await tensorsAfter({ freezeEmbeddings: true, freezeLayers: 1 });
  for (const name of before.keys()) {
    assert.equal(change(frozen, name) > 0, name.includes('_l1'), name);
  }
  const decayed = await tensorsAfter({ layerDecay: 0.1 });
  for (const [below, above] of [
    ['embed_tokens.weight', 'lstm.weight_hh_l0'],
    ['lstm.weight_hh_l0', 'lstm.weight_hh_l1'],
    ['lstm.weight_ih_l0_reverse', 'lstm.weight_ih_l1_reverse'],
  ] as const) {
    assert.ok(change(decayed, below) < 0.5 * change(decayed, above), below);
  }
  await assert.rejects(tensorsAfter({ freezeEmbeddings: true, freezeLayers: 2 }), {
    code: 'INVALID_ARGUMENT',
    message: /every parameter is frozen/,
  });
  rmSync(folder, { recursive: true });
});

test('LASER-2: training from texts compares by cosine, learns, and is saved with what it learnt', async () => {
  const words = laserGolden.texts.filter(({ ids }) => ids.length > 12).map(({ text }) => text);
  const records: ParallelRecord[] = Array.from({ length: 10 }, (_, n) => ({
    id: `r${n}`,
    query: { a: words[n]! },
    positive: { a: words[n + 10]! },
  }));
  const encoder = await Encoder.load(LASER, { device });
  const given = { sampler: 'monolingual', batchSize: 5, steps: 40, learningRate: 1e-2, seed: 5 } as const;
  const trainer = await Trainer.create(encoder, records, { ...given, queryPrompt: '', passagePrompt: '' });
  const losses: number[] = [];
  for await (const { loss } of trainer.run()) losses.push(loss);
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value) / values.length;
  assert.ok(mean(losses.slice(-8)) < 0.5 * mean(losses.slice(0, 8)), losses.join(' '));

  const folder = join(mkdtempSync(join(tmpdir(), 'xlembed-')), 'model');
  await encoder.save(folder);
  const again = await Encoder.load(folder, { device });
  assert.deepEqual((await again.encode(words)).data, (await encoder.encode(words)).data);
  await Promise.all([encoder.dispose(), again.dispose()]);
  rmSync(join(folder, '..'), { recursive: true });
});
