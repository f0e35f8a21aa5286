import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Encoder } from '../../encoding/encoder.js';

export const SHAPE = {
  vocab_size: 30_522,
  hidden_size: 384,
  num_hidden_layers: 6,
  num_attention_heads: 12,
  intermediate_size: 1536,
  max_position_embeddings: 512,
};

/** A model with MiniLM's shape and random weights, saved in `folder` for sentence-transformers too. */
export async function makeBenchModel(folder: string): Promise<Encoder> {
  const source = join(folder, 'source');
  await mkdir(source, { recursive: true });
  const config = {
    model_type: 'bert',
    architectures: ['BertModel'],
    ...SHAPE,
    hidden_act: 'gelu',
    hidden_dropout_prob: 0.1,
    attention_probs_dropout_prob: 0.1,
    type_vocab_size: 2,
    layer_norm_eps: 1e-12,
    initializer_range: 0.02,
    pad_token_id: 0,
  };
  await writeFile(join(source, 'config.json'), JSON.stringify(config));
  await writeFile(join(source, 'tokenizer.json'), JSON.stringify(tokenizer()));
  const files = {
    configPath: join(source, 'config.json'),
    tokenizerPath: join(source, 'tokenizer.json'),
  };
  const encoder = await Encoder.fresh(files, 0);
  await encoder.save(join(folder, 'model'));
  return encoder;
}

/** One word for each id: w10, w11, ... */
function tokenizer(): object {
  const special = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'];
  const vocab = Object.fromEntries(
    Array.from({ length: SHAPE.vocab_size }, (_, id) => [special[id] ?? `w${id}`, id]),
  );
  return {
    version: '1.0',
    added_tokens: special.map((content, id) => ({
      id,
      content,
      special: true,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
    })),
    normalizer: null,
    pre_tokenizer: { type: 'Whitespace' },
    post_processor: {
      type: 'BertProcessing',
      sep: ['[SEP]', 3],
      cls: ['[CLS]', 2],
    },
    decoder: null,
    model: { type: 'WordLevel', vocab, unk_token: '[UNK]' },
  };
}
