import { join } from 'node:path';
import { makeFolder, writeTextBeside } from '../../files/write_file.js';
import type { FreshModelOptions } from '../../models/open_model.js';
import { trainTokenizer } from '../../tokenizers/train.js';

/** XLM-R's architecture at a size that learns in a minute on two cores. */
const SHAPE = { hidden_size: 192, num_hidden_layers: 2, num_attention_heads: 4, intermediate_size: 384 };
const VOCABULARY = 12_000;
const MAX_TOKENS = 128;

/** Writes tokenizer.json and config.json of the demo's model into `folder`. */
export async function makeDemoModel(texts: readonly string[], folder: string): Promise<FreshModelOptions> {
  const [configPath, tokenizerPath] = [join(folder, 'config.json'), join(folder, 'tokenizer.json')];
  await makeFolder(folder);
  const vocabularySize = await trainTokenizer(texts, tokenizerPath, { vocabularySize: VOCABULARY });
  const config = {
    model_type: 'xlm-roberta',
    architectures: ['XLMRobertaModel'],
    vocab_size: vocabularySize,
    ...SHAPE,
    hidden_act: 'gelu',
    hidden_dropout_prob: 0,
    attention_probs_dropout_prob: 0,
    // XLM-R counts positions from pad_token_id + 1.
    max_position_embeddings: MAX_TOKENS + 2,
    type_vocab_size: 1,
    layer_norm_eps: 1e-5,
    initializer_range: 0.02,
    bos_token_id: 0,
    pad_token_id: 1,
    eos_token_id: 2,
  };
  await writeTextBeside(configPath, `${JSON.stringify(config, null, 2)}\n`);
  return { configPath, tokenizerPath };
}
