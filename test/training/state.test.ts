import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readSafetensorsHeader } from '#xlembed/models/safetensors.js';
import { writeSafetensors } from '#xlembed/models/safetensors_writer.js';
import type { NativeEncoder, NativeTrainer, TensorSource } from '#xlembed/native.js';
import { packed, readGolden } from '../encoding/goldens.js';
import { createEncoder, createTrainer } from './native_trainer.js';

const { sequences, pairs } = readGolden('bert');
const OPTIONS = { dropout: true, normalize: true };

async function train(trainer: NativeTrainer, steps: number[]): Promise<number[]> {
  const losses = [];
  for (const step of steps) {
    const batch = { ...packed(sequences), queries: pairs, step, learningRate: 1e-3 };
    losses.push((await trainer.step(batch)).loss);
  }
  return losses;
}

function sourcesOf(path: string): TensorSource[] {
  return readSafetensorsHeader(path).tensors.map(({ name, offset, shape }) => ({
    name,
    path,
    offset,
    shape,
    dtype: 'float32',
  }));
}

/** Weights and state to files: what a checkpoint will do. */
async function writeCheckpoint(folder: string, encoder: NativeEncoder, trainer: NativeTrainer) {
  const { tensors, counters } = await trainer.state();
  await writeSafetensors(join(folder, 'state'), tensors, {}, (targets) => trainer.writeState(targets));
  await writeSafetensors(join(folder, 'weights'), encoder.parameters(), {}, (targets) =>
    encoder.writeParameters(targets),
  );
  return counters;
}

test('written and read back into a fresh trainer, training goes on with the same bits', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'xlembed-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const encoder = await createEncoder('bert');
  const trainer = await createTrainer(encoder, OPTIONS);
  await train(trainer, [0, 1, 2]);
  const counters = await writeCheckpoint(folder, encoder, trainer);
  assert.equal(counters.optimizer_steps, 3);
  const straight = await train(trainer, [3, 4]);

  const again = await createEncoder('bert', { weights: { sources: sourcesOf(join(folder, 'weights')) } });
  const resumed = await createTrainer(again, OPTIONS);
  await resumed.readState(sourcesOf(join(folder, 'state')), counters);
  assert.deepEqual(await train(resumed, [3, 4]), straight);
  assert.deepEqual(await again.encode(packed(sequences)), await encoder.encode(packed(sequences)));
});

test('weights that are read are those that texts are encoded with, whatever was encoded before', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'xlembed-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const trained = await createEncoder('bert');
  await train(await createTrainer(trained, OPTIONS), [0, 1]);
  const path = join(folder, 'weights');
  await writeSafetensors(path, trained.parameters(), {}, (targets) => trained.writeParameters(targets));
  const encoder = await createEncoder('bert');
  const before = await encoder.encode(packed(sequences));
  await encoder.readParameters(sourcesOf(path));
  const after = await encoder.encode(packed(sequences));
  assert.notDeepEqual(after, before);
  assert.deepEqual(after, await trained.encode(packed(sequences)));
});

test('before the first step there is no tensor, and a state that does not fit is refused', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'xlembed-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const encoder = await createEncoder('bert');
  const trainer = await createTrainer(encoder, OPTIONS);
  assert.deepEqual(await trainer.state(), {
    tensors: [],
    counters: { loss_scale: 1, loss_scale_good_steps: 0, optimizer_steps: 0 },
  });
  await train(trainer, [0]);
  const counters = await writeCheckpoint(folder, encoder, trainer);
  const sources = sourcesOf(join(folder, 'state'));
  const [first, ...others] = sources as [TensorSource, ...TensorSource[]];
  const refused = (given: TensorSource[], how: Record<string, number>, message: RegExp) =>
    assert.rejects(trainer.readState(given, how), { message });
  await refused([...sources, { ...first, name: 'other' }], counters, /TENSOR_MISSING.*other/);
  await refused([{ ...first, shape: [...first.shape, 1] }, ...others], counters, /TENSOR_SHAPE_MISMATCH/);
  await refused(others, counters, /INVALID_ARGUMENT.*optimizer/);
  await refused(sources, {}, /INVALID_ARGUMENT.*optimizer_steps/);
});
