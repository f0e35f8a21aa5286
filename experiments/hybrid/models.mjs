#!/usr/bin/env node
// Makes what the encoders start from: tokenizers with the pieces that the training texts need, and configurations.
//
//   XLEMBED_SHARED=<folder> node experiments/hybrid/models.mjs <settings> <data folder> <output folder>
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { lines, writeJson } from './lib/files.mjs';
import { writeFreshLaser } from './lib/laser.mjs';
import { readSettings } from './lib/settings.mjs';
import { reduceSentencePiece, reduceTokenizer } from './lib/vocabulary.mjs';

/** What XLM-R's configuration has at any size. */
const XLM_R = {
  model_type: 'xlm-roberta',
  architectures: ['XLMRobertaModel'],
  hidden_act: 'gelu',
  hidden_dropout_prob: 0,
  attention_probs_dropout_prob: 0,
  type_vocab_size: 1,
  layer_norm_eps: 1e-5,
  initializer_range: 0.02,
  bos_token_id: 0,
  pad_token_id: 1,
  eos_token_id: 2,
};
const MAX_TOKENS = 256;

/** Texts of all training files, an even sample of about `count`. */
async function trainingTexts(data, count) {
  const files = [
    'pairs.jsonl',
    ...['tatoeba', 'questions', 'sentences', 'words'].map((name) => `translations/${name}.jsonl`),
  ];
  const texts = [];
  for (const file of files) {
    for await (const line of lines(join(data, file))) {
      const { query, positive } = JSON.parse(line);
      texts.push(...Object.values(query), ...(file === 'pairs.jsonl' ? Object.values(positive) : []));
    }
  }
  const step = Math.max(1, texts.length / count);
  return Array.from({ length: Math.min(count, texts.length) }, (_, i) => texts[Math.floor(i * step)]);
}

async function makeTransformer(folder, { config }, texts, tokenizers) {
  const path = join(tokenizers, 'xlm-roberta-tokenizer-reconstructed/tokenizer.json');
  const size = await reduceTokenizer(path, texts, join(folder, 'tokenizer.json'));
  // XLM-R counts positions from pad_token_id + 1.
  await writeJson(join(folder, 'config.json'), {
    ...XLM_R,
    vocab_size: size,
    max_position_embeddings: MAX_TOKENS + 2,
    ...config,
  });
}

async function makeLaser(folder, { config }, texts, tokenizers, seeds) {
  const sentencePiecePath = join(folder, 'sentencepiece.model');
  const path = join(tokenizers, 'blingfire-laser100k-spm/laser_100k.model');
  const dictionary = await reduceSentencePiece(path, texts, sentencePiecePath);
  const sizes = { ...config, max_tokens: MAX_TOKENS };
  const sentencePiece = await readFile(sentencePiecePath);
  for (const seed of seeds)
    await writeFreshLaser(join(folder, `seed-${seed}`), sizes, { sentencePiece, dictionary }, seed);
}

const [settingsPath, data, output] = process.argv.slice(2);
const shared = process.env.XLEMBED_SHARED;
if (!output || !shared) {
  console.error(
    'usage: XLEMBED_SHARED=<folder with tokenizers/> node experiments/hybrid/models.mjs <settings> <data folder> <output folder>',
  );
  process.exit(2);
}
const { encoders, seeds, vocabularyTexts } = await readSettings(settingsPath);
const missing = Object.entries(encoders).filter(
  ([name, { kind }]) => kind !== 'model' && !existsSync(join(output, name)),
);
const texts = missing.length > 0 ? await trainingTexts(data, vocabularyTexts) : [];
for (const [name, encoder] of missing) {
  const folder = join(output, name);
  const working = `${folder}.partial`;
  await rm(working, { recursive: true, force: true });
  await mkdir(working, { recursive: true });
  const make = encoder.kind === 'laser2' ? makeLaser : makeTransformer;
  await make(working, encoder, texts, join(shared, 'tokenizers'), seeds);
  await rename(working, folder);
  console.log(`${name}: ${folder}`);
}
