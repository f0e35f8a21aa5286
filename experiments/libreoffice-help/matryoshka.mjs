#!/usr/bin/env node
// What Matryoshka training does: the same fresh weights trained with the loss of all dimensions alone, and with the sum
// over shorter beginnings; mAP on held-out sections with the first dimensions of the embeddings.
//
//   node experiments/libreoffice-help/matryoshka.mjs <pairs.jsonl> <output folder> [steps]
import { fresh, measure, prepare, train } from './small_model.mjs';

const SIZES = [192, 96, 48, 24];

const [pairs, output, steps = '200'] = process.argv.slice(2);
if (!output) {
  console.error('usage: matryoshka.mjs <pairs.jsonl> <output folder> [steps]');
  process.exit(2);
}
const data = await prepare(pairs, output);
for (const [name, options] of Object.entries({ plain: {}, Matryoshka: { matryoshkaSizes: SIZES } })) {
  const encoder = await fresh(data.model);
  const { seconds } = await train(encoder, data.train, {
    steps: Number(steps),
    sampler: 'hybrid',
    ...options,
  });
  console.log(`${name}: ${steps} steps of 64 pairs in ${seconds.toFixed(0)} s`);
  for (const size of SIZES) console.log(`  ${size} dimensions: ${await measure(encoder, data.task, size)}`);
  await encoder.dispose();
}
process.exit();
