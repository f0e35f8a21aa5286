#!/usr/bin/env node
// What code switching does where only English is trained on: the same fresh weights, with and without it, and hybrid
// batches of parallel texts beside them; mAP on held-out sections. Lexicons are `eng-<code>.tsv` (word<TAB>translation).
//
//   node experiments/libreoffice-help/code-switching.mjs <pairs.jsonl> <folder of lexicons> <output folder> [steps]
import { join } from 'node:path';
import { fresh, LANGUAGES, measure, prepare, train } from './small_model.mjs';

const [pairs, lexiconFolder, output, steps = '300'] = process.argv.slice(2);
if (!output) {
  console.error('usage: code-switching.mjs <pairs.jsonl> <folder of lexicons> <output folder> [steps]');
  process.exit(2);
}
const data = await prepare(pairs, output);
const targets = data.languages.filter((language) => language !== 'en');
const lexicons = targets.map((target) => ({
  source: 'en',
  target,
  path: join(lexiconFolder, `eng-${LANGUAGES[target]}.tsv`),
}));
const side = { probability: 0.5 };
const english = { sampler: 'monolingual', languages: ['en'] };
const regimes = {
  'English alone': english,
  'multilingual switching': {
    ...english,
    codeSwitching: { mode: 'multilingual', query: side, passage: side, lexicons },
  },
  'bilingual switching': {
    ...english,
    codeSwitching: { mode: 'bilingual', query: side, passage: side, lexicons },
  },
  'parallel texts, hybrid': { sampler: 'hybrid', alpha: 0.5 },
};

console.log(
  `${data.train.length} records to train on, ${data.languages.length} languages, ${steps} steps of 64 pairs`,
);
for (const [name, options] of Object.entries(regimes)) {
  const encoder = await fresh(data.model);
  const sums = await train(encoder, data.train, { steps: Number(steps), ...options });
  const rate =
    sums.words > 0 ? `, ${((100 * sums.switched) / sums.words).toFixed(1)} % of the words switched` : '';
  console.log(
    `${name}: ${await measure(encoder, data.task)}${rate}, ${sums.seconds.toFixed(0)} s, ${((100 * sums.wait) / sums.seconds).toFixed(1)} % of it waiting for texts`,
  );
  await encoder.dispose();
}
process.exit();
