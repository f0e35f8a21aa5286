import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Encoder } from '#xlembed/encoding/encoder.js';
import { ENGINE_DEFAULTS, learningRateFactors } from '#xlembed/training/engine_options.js';
import { folderOf } from '../encoding/goldens.js';
import { temporaryFolder, xlembed } from './run.js';

const folder = temporaryFolder();
const data = join(folder, 'pairs.jsonl');
writeFileSync(
  data,
  Array.from({ length: 12 }, (_, n) =>
    JSON.stringify({
      id: `r${n}`,
      query: { en: `w${10 + n}`, de: `w${30 + n}` },
      positive: { en: `w${50 + n} w9`, de: `w${70 + n} w8` },
    }),
  ).join('\n'),
);

function train(output: string, ...flags: string[]) {
  const model = folderOf('bert');
  const base = ['train', '--model', model, '--data', data, '--output', join(folder, output)];
  return xlembed(...base, '--batch-size', '4', '--steps', '6', '--learning-rate', '1e-2', ...flags);
}

test('train with adapters on early layers and the early-layer triplet loss: adapter and merged model', async () => {
  const flags = ['--loss', 'triplet', '--embedding-layer', '1', '--lora-rank', '2', '--lora-layers', '0'];
  const { status, stderr } = train('lora', ...flags);
  assert.equal(status, 0, stderr);
  const config = JSON.parse(readFileSync(join(folder, 'lora/adapter/adapter_config.json'), 'utf8'));
  assert.deepEqual(config.layers_to_transform, [0]);
  assert.ok(existsSync(join(folder, 'lora/adapter/adapter_model.safetensors')));
  // The merged weights differ from the base in the adapted layer.
  const texts = ['w10 w11', 'w50'];
  const [merged, base] = await Promise.all([
    Encoder.load(join(folder, 'lora')),
    Encoder.load(folderOf('bert')),
  ]);
  assert.notDeepEqual((await merged.encode(texts)).data, (await base.encode(texts)).data);
  await Promise.all([merged.dispose(), base.dispose()]);
});

test('adapters on modules that the model does not have are refused, with names that it has', () => {
  const { status, stderr } = train('nowhere', '--lora-rank', '2', '--lora-targets', 'q_proj');
  assert.equal(status, 1);
  assert.match(stderr, /INVALID_ARGUMENT: expected LoRA targets among this model's modules \(.*query/);
  assert.match(stderr, /remedy: .*query, value/);
});

test('train with the gradient cache, Matryoshka, bfloat16, layer decay and a learnt temperature', async () => {
  const cache = ['--chunk-tokens', '8', '--recompute-activations', '--matryoshka', '24,8'];
  const rates = ['--precision', 'bfloat16', '--layer-decay', '0.9', '--learn-temperature', '100'];
  const { status, stderr } = train('cache', ...cache, ...rates, '--freeze-embeddings');
  assert.equal(status, 0, stderr);
  const log = readFileSync(join(folder, 'cache/training_log.jsonl'), 'utf8').trim().split('\n');
  const steps = log.map((line) => JSON.parse(line));
  assert.ok(steps.every(({ chunks, chunkTokens }) => chunks > 1 && chunkTokens === 8));
  assert.equal(new Set(steps.map(({ temperature }) => temperature)).size > 1, true);
});

test('learning rates by layer', () => {
  const backbone = { type: 'transformer', layers: 3 } as Parameters<typeof learningRateFactors>[1];
  const factors = learningRateFactors({ ...ENGINE_DEFAULTS, layerDecay: 0.5, freezeLayers: 1 }, backbone);
  assert.deepEqual(factors, [
    { prefix: 'embeddings.', factor: 0.125 },
    { prefix: 'encoder.layer.0.', factor: 0 },
    { prefix: 'encoder.layer.1.', factor: 0.5 },
    { prefix: 'encoder.layer.2.', factor: 1 },
  ]);
  assert.ok(learningRateFactors(ENGINE_DEFAULTS, backbone).every(({ factor }) => factor === 1));
  assert.throws(() => learningRateFactors({ ...ENGINE_DEFAULTS, freezeLayers: 4 }, backbone), {
    code: 'INVALID_ARGUMENT',
    message: /the 3 layers of the model for freezeLayers, received 4/,
  });
});

test('train from scores, with masked duplicates and gradients of several batches added up', () => {
  const scored = join(folder, 'scored.jsonl');
  writeFileSync(
    scored,
    Array.from({ length: 12 }, (_, n) =>
      JSON.stringify({
        ...{ query: `w${10 + n}`, positive: `w${50 + (n % 3)} w9`, positive_score: 0.9 },
        ...{ negatives: [`w${70 + n}`, 'w8'], negative_scores: [0.3, 0.1] },
      }),
    ).join('\n'),
  );
  const output = join(folder, 'distilled');
  const { status, stderr } = xlembed(
    ...[
      'train',
      '--model',
      folderOf('bert'),
      '--data',
      scored,
      '--output',
      output,
      '--sampler',
      'monolingual',
    ],
    ...['--batch-size', '6', '--steps', '4', '--accumulate', '2', '--duplicates', 'mask', '--negatives', '2'],
    ...['--loss', 'kl_distillation', '--teacher-temperature', '0.5', '--matryoshka', '24,8=0.5'],
    ...['--betas', '0.9,0.98', '--max-gradient-norm', '0.5', '--in-batch-negatives', 'same'],
  );
  assert.equal(status, 0, stderr);
  const { settings, steps, pairs } = JSON.parse(readFileSync(join(output, 'training.json'), 'utf8'));
  // Three positives among twelve records: kept apart, batches would hold three pairs.
  assert.deepEqual([steps, pairs], [4, 48]);
  assert.deepEqual(
    [settings.accumulate, settings.beta2, settings.matryoshkaWeights, settings.teacherTemperature],
    [2, 0.98, [1, 0.5], 0.5],
  );
  assert.ok(existsSync(join(output, 'report.html')));
});
