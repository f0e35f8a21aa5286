#!/usr/bin/env node
// What code switching does where only English is trained on: the same fresh weights, with and without it, and hybrid
// batches of parallel texts beside them; mAP on held-out sections. Lexicons are `eng-<code>.tsv` (word<TAB>translation).
//
//   node experiments/libreoffice-help/code-switching.mjs <pairs.jsonl> <folder of lexicons> <output folder> [steps]
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Encoder, evaluateRetrieval, readRecords, recordsTask, splitRecords, Trainer, trainTokenizer } from 'xlembed';

const LANGUAGES = { en: 'eng', de: 'deu', es: 'spa', fr: 'fra', tr: 'tur' };
const TEST_RECORDS = 400;

const [pairs, lexiconFolder, output, steps = '300'] = process.argv.slice(2);
if (!output) {
  console.error('usage: code-switching.mjs <pairs.jsonl> <folder of lexicons> <output folder> [steps]');
  process.exit(2);
}

const languages = Object.keys(LANGUAGES);
const only = (texts) => Object.fromEntries(Object.entries(texts).filter(([language]) => languages.includes(language)));
const all = (await readRecords(pairs)).records
  .map(({ id, query, positive }) => ({ id, query: only(query), positive: only(positive) }))
  .filter(({ query, positive }) => query.en && positive.en);
const { train, test } = splitRecords(all, { testShare: 0.2, seed: 1 });
const task = recordsTask('help', test.slice(0, TEST_RECORDS), languages);

mkdirSync(output, { recursive: true });
const model = { configPath: join(output, 'config.json'), tokenizerPath: join(output, 'tokenizer.json') };
const texts = train.slice(0, 4000).flatMap(({ query, positive }) => [...Object.values(query), ...Object.values(positive)]);
const vocabularySize = await trainTokenizer(texts, model.tokenizerPath, { vocabularySize: 16_000 });
writeFileSync(
  model.configPath,
  JSON.stringify({
    model_type: 'xlm-roberta', vocab_size: vocabularySize, hidden_size: 192, num_hidden_layers: 2,
    num_attention_heads: 4, intermediate_size: 384, hidden_act: 'gelu', hidden_dropout_prob: 0,
    attention_probs_dropout_prob: 0, max_position_embeddings: 98, type_vocab_size: 1, layer_norm_eps: 1e-5,
    initializer_range: 0.02, bos_token_id: 0, pad_token_id: 1, eos_token_id: 2,
  }),
);

const targets = languages.filter((language) => language !== 'en');
const lexicons = targets.map((target) => ({
  source: 'en', target, path: join(lexiconFolder, `eng-${LANGUAGES[target]}.tsv`),
}));
const side = { probability: 0.5 };
const english = { sampler: 'monolingual', languages: ['en'] };
const regimes = {
  'English alone': english,
  'multilingual switching': { ...english, codeSwitching: { mode: 'multilingual', query: side, passage: side, lexicons } },
  'bilingual switching': { ...english, codeSwitching: { mode: 'bilingual', query: side, passage: side, lexicons } },
  'parallel texts, hybrid': { sampler: 'hybrid', alpha: 0.5 },
};

console.log(`${train.length} records to train on, ${languages.length} languages, ${steps} steps of 64 pairs`);
for (const [name, options] of Object.entries(regimes)) {
  const encoder = await Encoder.fresh(model, 1);
  const trainer = await Trainer.create(encoder, train, {
    batchSize: 64, steps: Number(steps), learningRate: 2e-3, queryPrompt: '', passagePrompt: '', seed: 1, ...options,
  });
  const sums = { words: 0, switched: 0, seconds: 0, wait: 0 };
  for await (const { switched, seconds, waitSeconds } of trainer.run()) {
    sums.seconds += seconds;
    sums.wait += waitSeconds;
    for (const { words, switched: count } of Object.values(switched ?? {})) {
      sums.words += words;
      sums.switched += count;
    }
  }
  const { measures } = await evaluateRetrieval(task, (batch) => encoder.encode(batch), {});
  const shown = ['monolingual_map', 'cross_lingual_map', 'multilingual_map', 'language_bias'];
  const rate = sums.words > 0 ? `, ${((100 * sums.switched) / sums.words).toFixed(1)} % of the words switched` : '';
  console.log(`${name}: ${shown.map((key) => `${key} ${measures[key].toFixed(3)}`).join(', ')}${rate}, ${sums.seconds.toFixed(0)} s, ${((100 * sums.wait) / sums.seconds).toFixed(1)} % of it waiting for texts`);
  trainer.dispose();
  await encoder.dispose();
}
process.exit();
