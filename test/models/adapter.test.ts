import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readAdapter, saveAdapter } from '#xlembed/models/adapter.js';
import { readSafetensorsHeader } from '#xlembed/models/safetensors.js';
import { largestDifference, packed, readGolden } from '../encoding/goldens.js';
import { createEncoder, createTrainer } from '../training/native_trainer.js';
import { temporaryFolder } from './support.js';

const PEFT = 'test/reference/adapter/peft';
const { embeddings } = JSON.parse(readFileSync(`${PEFT}.json`, 'utf8')) as { embeddings: number[][] };
const { sequences, pairs } = readGolden('bert');
const folder = temporaryFolder();

const head = [{ type: 'pool' as const, modes: ['mean' as const] }, { type: 'normalize' as const }];
const tensorsOf = (path: string) =>
  readSafetensorsHeader(join(path, 'adapter_model.safetensors')).tensors.map(
    ({ name, path: file, offset, bytes, shape }) => ({
      name,
      shape,
      values: readFileSync(file)
        .subarray(offset, offset + bytes)
        .toString('hex'),
    }),
  );

test("PEFT's adapter: the embeddings that PEFT gives, apart and merged", async () => {
  const { sources, ...options } = readAdapter(PEFT);
  assert.deepEqual(
    { ...options, targets: options.targets.toSorted() },
    { rank: 4, alpha: 10, dropout: 0.1, targets: ['dense', 'query', 'value'], layers: [1] },
  );
  const encoder = await createEncoder('bert', { head });
  const plain = await encoder.encode(packed(sequences));
  await encoder.addAdapters({ ...options, sources });
  const expected = embeddings.flat();
  assert.ok(largestDifference(plain, expected) > 0.01);
  assert.ok(largestDifference(await encoder.encode(packed(sequences)), expected) <= 2e-6);

  // What is saved is what was read, under PEFT's names.
  await saveAdapter(encoder, options, join(folder, 'saved'), { baseModel: 'bert', modelType: 'bert' });
  assert.deepEqual(tensorsOf(join(folder, 'saved')), tensorsOf(PEFT));
  assert.deepEqual(readAdapter(join(folder, 'saved')).layers, [1]);

  await encoder.mergeAdapters();
  assert.ok(largestDifference(await encoder.encode(packed(sequences)), expected) <= 2e-6);
  assert.deepEqual(await encoder.adapterParameters(), []);
  encoder.dispose();
  const disposed = saveAdapter(encoder, options, join(folder, 'disposed'), {
    baseModel: 'bert',
    modelType: 'bert',
  });
  await assert.rejects(disposed, { code: 'DISPOSED' });
});

test("DistilBERT's adapter is saved under the names of its modules", async () => {
  const encoder = await createEncoder('distilbert', { head });
  const options = { rank: 2, alpha: 4, dropout: 0, targets: ['query', 'output.dense'], layers: [] };
  await encoder.addAdapters(options);
  const saved = join(folder, 'distilbert');
  await saveAdapter(encoder, options, saved, { baseModel: 'distilbert', modelType: 'distilbert' });
  encoder.dispose();
  assert.deepEqual(readAdapter(saved).targets, ['attention.q_lin', 'attention.out_lin', 'ffn.lin2']);
  const names = tensorsOf(saved).map(({ name }) => name);
  assert.equal(names.length, 12);
  assert.ok(names.includes('base_model.model.transformer.layer.1.ffn.lin2.lora_A.weight'));
});

test('training moves the adapters, and its state holds them', async () => {
  const encoder = await createEncoder('bert', { head });
  const options = { rank: 2, alpha: 4, dropout: 0.1, targets: ['query', 'value'], layers: [] };
  await encoder.addAdapters(options);
  const trainer = await createTrainer(encoder, { dropout: true });
  const losses = [];
  for (let step = 0; step < 20; ++step) {
    const batch = { ...packed(sequences), queries: pairs, step, learningRate: 2e-2 };
    losses.push((await trainer.step(batch)).loss);
  }
  assert.ok(Math.min(...losses.slice(-5)) < 0.9 * losses[0]!, losses.join(' '));
  const { tensors } = await trainer.state();
  const names = (await encoder.adapterParameters()).map(({ name }) => name);
  assert.equal(names.length, 8);
  for (const name of names) {
    const own = tensors.filter((tensor) => tensor.name.endsWith(name)).length;
    assert.equal(own, 3, name);
  }
});

test('adapters of other kinds are refused', () => {
  const config = JSON.parse(readFileSync(join(PEFT, 'adapter_config.json'), 'utf8')) as object;
  for (const [field, value] of [
    ['peft_type', 'IA3'],
    ['use_dora', true],
    ['bias', 'all'],
    ['r', 0],
  ] as const) {
    writeFileSync(join(folder, 'adapter_config.json'), JSON.stringify({ ...config, [field]: value }));
    assert.throws(() => readAdapter(folder), { code: 'MODEL_UNSUPPORTED', message: new RegExp(field) });
  }
});
