import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Encoder } from '../../encoding/encoder.js';
import type { EncoderShape } from './encode_model.js';

/** Words of a model's vocabulary: those of the real ones. */
const vocabularies: Record<string, number> = { minilm: 30_522, 'xlm-r-base': 250_002 };
export const vocabularySize = ({ name }: EncoderShape): number => vocabularies[name]!;

/** A model of this shape in BERT's layout with random weights; what describes it is written to `folder`. */
export async function makeBenchModel(shape: EncoderShape, folder: string, device: string): Promise<Encoder> {
  const { name: _name, texts: _texts, ...sizes } = shape;
  const config = {
    model_type: 'bert',
    architectures: ['BertModel'],
    ...sizes,
    vocab_size: vocabularySize(shape),
    max_position_embeddings: 512,
    hidden_act: 'gelu',
    hidden_dropout_prob: 0.1,
    attention_probs_dropout_prob: 0.1,
    type_vocab_size: 2,
    layer_norm_eps: 1e-12,
    initializer_range: 0.02,
    pad_token_id: 0,
  };
  await writeFile(join(folder, 'config.json'), JSON.stringify(config));
  await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(tokenizer(vocabularySize(shape))));
  const files = {
    configPath: join(folder, 'config.json'),
    tokenizerPath: join(folder, 'tokenizer.json'),
  };
  return Encoder.fresh(files, 0, { device });
}

/** One word for each id: w10, w11, ... */
function tokenizer(words: number): object {
  const special = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'];
  const vocab = Object.fromEntries(Array.from({ length: words }, (_, id) => [special[id] ?? `w${id}`, id]));
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
