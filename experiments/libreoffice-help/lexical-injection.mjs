#!/usr/bin/env node
// What targeted lexical injection (arXiv 2506.15415) does to a small model: trained on English sections alone, then word
// pairs of bilingual lexicons through LoRA at layers 0-2 with the triplet loss on layer 2's mean hidden state. Measured on
// held-out sections before and after; beside the same injection at the last layer's embeddings.
//
//   node experiments/libreoffice-help/lexical-injection.mjs <pairs.jsonl> <folder of lexicons> <output folder> [steps]
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Encoder } from 'xlembed';
import { fresh, LANGUAGES, measure, prepare, train } from './small_model.mjs';

const WORDS = 3000; // of each lexicon

const [pairs, lexiconFolder, output, steps = '200'] = process.argv.slice(2);
if (!output) {
  console.error('usage: lexical-injection.mjs <pairs.jsonl> <folder of lexicons> <output folder> [steps]');
  process.exit(2);
}
const data = await prepare(pairs, output, { num_hidden_layers: 4, hidden_size: 128, intermediate_size: 256 });
const corpus = new Set(
  data.train.flatMap(
    ({ query, positive }) => `${query.en} ${positive.en}`.toLowerCase().match(/\p{L}+/gu) ?? [],
  ),
);

/** Words of the training texts that a lexicon has, with their first translation. */
const lexicon = Object.entries(LANGUAGES)
  .filter(([language]) => language !== 'en')
  .flatMap(([language, code]) => {
    const found = readFileSync(join(lexiconFolder, `eng-${code}.tsv`), 'utf8')
      .split('\n')
      .map((line) => line.split('\t'))
      .filter(([word, translations]) => translations && corpus.has(word.toLowerCase()));
    return found.slice(0, WORDS).map(([word, translations], n) => ({
      id: `${language}${n}`,
      query: { en: word },
      positive: { [language]: translations.split('|')[0].trim() || word },
    }));
  });

const base = join(output, 'base');
{
  const encoder = await fresh(data.model);
  await train(encoder, data.train, { steps: Number(steps), sampler: 'monolingual', languages: ['en'] });
  console.log(`English alone, ${steps} steps: ${await measure(encoder, data.task)}`);
  await encoder.save(base, { overwrite: true });
  await encoder.dispose();
}

const injection = {
  sampler: 'cross_lingual',
  steps: Math.ceil((5 * lexicon.length) / 64),
  warmupSteps: 50,
  learningRate: 2e-4,
  loss: 'triplet',
  margin: 0.4,
  lora: { rank: 16, alpha: 32, dropout: 0.05, targets: ['query', 'value'], layers: [0, 1, 2] },
};
for (const [name, options] of Object.entries({
  'layer 2': { embeddingLayer: 2 },
  'layer 2, learning rate 2e-3': { embeddingLayer: 2, learningRate: 2e-3 },
  'the last layer, learning rate 2e-3': { learningRate: 2e-3 },
})) {
  const encoder = await Encoder.load(base);
  const { losses, seconds } = await train(encoder, lexicon, {
    ...injection,
    ...options,
    adapter: join(output, 'adapter'),
  });
  console.log(
    `${lexicon.length} word pairs at ${name}: ${await measure(encoder, data.task)}; loss ${losses[0].toFixed(3)} to ${losses.at(-1).toFixed(3)}, ${seconds.toFixed(0)} s`,
  );
  await encoder.dispose();
}
process.exit();
