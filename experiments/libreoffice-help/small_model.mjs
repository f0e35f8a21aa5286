// What the experiments share: parallel records of five languages, a small model with fresh weights, and the measures.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  Encoder,
  evaluateRetrieval,
  readRecords,
  recordsTask,
  splitRecords,
  Trainer,
  trainTokenizer,
} from 'xlembed';

export const LANGUAGES = { en: 'eng', de: 'deu', es: 'spa', fr: 'fra', tr: 'tur' };
const TEST_RECORDS = 400;

/** Reads pairs.jsonl, holds sections out for the test, trains a tokenizer and writes a config with these layers. */
export async function prepare(pairs, output, shape = {}) {
  const languages = Object.keys(LANGUAGES);
  const only = (texts) =>
    Object.fromEntries(Object.entries(texts).filter(([language]) => languages.includes(language)));
  const all = (await readRecords(pairs)).records
    .map(({ id, query, positive }) => ({ id, query: only(query), positive: only(positive) }))
    .filter(({ query, positive }) => query.en && positive.en);
  const { train, test } = splitRecords(all, { testShare: 0.2, seed: 1 });
  const task = recordsTask('help', test.slice(0, TEST_RECORDS), languages);
  mkdirSync(output, { recursive: true });
  const model = { configPath: join(output, 'config.json'), tokenizerPath: join(output, 'tokenizer.json') };
  const texts = train
    .slice(0, 4000)
    .flatMap(({ query, positive }) => [...Object.values(query), ...Object.values(positive)]);
  const vocabularySize = await trainTokenizer(texts, model.tokenizerPath, { vocabularySize: 16_000 });
  writeFileSync(
    model.configPath,
    JSON.stringify({
      model_type: 'xlm-roberta',
      vocab_size: vocabularySize,
      hidden_size: 192,
      num_hidden_layers: 2,
      num_attention_heads: 4,
      intermediate_size: 384,
      hidden_act: 'gelu',
      hidden_dropout_prob: 0,
      attention_probs_dropout_prob: 0,
      max_position_embeddings: 98,
      type_vocab_size: 1,
      layer_norm_eps: 1e-5,
      initializer_range: 0.02,
      bos_token_id: 0,
      pad_token_id: 1,
      eos_token_id: 2,
      ...shape,
    }),
  );
  return { languages, train, task, model };
}

/** Trains `encoder`; gives the sums that the log would hold. Adapters are merged at the end. */
export async function train(encoder, records, { adapter, ...options }) {
  const trainer = await Trainer.create(encoder, records, {
    batchSize: 64,
    learningRate: 2e-3,
    queryPrompt: '',
    passagePrompt: '',
    seed: 1,
    ...options,
  });
  const sums = { words: 0, switched: 0, seconds: 0, wait: 0, losses: [] };
  for await (const { switched, seconds, waitSeconds, loss } of trainer.run()) {
    sums.seconds += seconds;
    sums.wait += waitSeconds;
    sums.losses.push(loss);
    for (const { words, switched: count } of Object.values(switched ?? {})) {
      sums.words += words;
      sums.switched += count;
    }
  }
  if (adapter) await trainer.finishAdapters(adapter);
  trainer.dispose();
  return sums;
}

export const fresh = (model) => Encoder.fresh(model, 1);

const SHOWN = ['monolingual_map', 'cross_lingual_map', 'multilingual_map', 'language_bias'];

/** The measures as text; of the first `dimensions` of each embedding where given. */
export async function measure(encoder, task, dimensions = encoder.dimensions) {
  const embed = async (batch) => shortened(await encoder.encode(batch), dimensions);
  const { measures } = await evaluateRetrieval(task, embed, {});
  return SHOWN.map((key) => `${key} ${measures[key].toFixed(3)}`).join(', ');
}

/** The first `kept` dimensions, to length 1 again. */
function shortened({ data, rows, dimensions }, kept) {
  if (kept === dimensions) return { data, rows, dimensions };
  const short = new Float32Array(rows * kept);
  for (let r = 0; r < rows; r++) {
    const row = data.subarray(r * dimensions, r * dimensions + kept);
    const length = Math.hypot(...row) || 1;
    for (let c = 0; c < kept; c++) short[r * kept + c] = row[c] / length;
  }
  return { data: short, rows, dimensions: kept };
}
