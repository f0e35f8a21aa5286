import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Encoder } from '../../encoding/encoder.js';
import { TokenizerPool } from '../../tokenizers/tokenizer_pool.js';

/** Tokens that the models keep of a text. */
export const MAX_TOKENS = 512;

/** Sizes of an encoder, by Hugging Face's names. */
export interface EncoderShape {
  name: string;
  hidden_size: number;
  num_hidden_layers: number;
  num_attention_heads: number;
  intermediate_size: number;
  /** Texts of a timed set: some seconds of work. */
  texts: number;
}

export const ENCODER_SHAPES: readonly EncoderShape[] = [
  {
    name: 'minilm',
    ...{ hidden_size: 384, num_hidden_layers: 6, num_attention_heads: 12, intermediate_size: 1536 },
    texts: 256,
  },
  {
    name: 'xlm-r-base',
    ...{ hidden_size: 768, num_hidden_layers: 12, num_attention_heads: 12, intermediate_size: 3072 },
    texts: 64,
  },
];

/**
 * A folder with a model of this shape in XLM-R's layout, random weights and this tokenizer, as sentence-transformers
 * opens it. It is made once and kept in `folder`.
 */
export async function makeEncodeModel(
  shape: EncoderShape,
  tokenizerPath: string,
  folder: string,
): Promise<string> {
  const { name, texts: _, ...sizes } = shape;
  const model = join(folder, name);
  if (existsSync(model)) return model;
  const source = join(folder, `${name}-config`);
  await mkdir(source, { recursive: true });
  const tokenizer = await TokenizerPool.open(tokenizerPath, { maxTokens: MAX_TOKENS, threads: 1 });
  const config = {
    model_type: 'xlm-roberta',
    architectures: ['XLMRobertaModel'],
    ...sizes,
    vocab_size: tokenizer.vocabularySize,
    hidden_act: 'gelu',
    hidden_dropout_prob: 0.1,
    attention_probs_dropout_prob: 0.1,
    max_position_embeddings: MAX_TOKENS + 2,
    type_vocab_size: 1,
    layer_norm_eps: 1e-5,
    initializer_range: 0.02,
    pad_token_id: tokenizer.padId ?? 1,
  };
  await tokenizer.close();
  const configPath = join(source, 'config.json');
  await writeFile(configPath, JSON.stringify(config));
  const encoder = await Encoder.fresh({ configPath, tokenizerPath }, 0);
  await encoder.save(model);
  await encoder.dispose();
  return model;
}

/** Operations of the matrix products over texts of these lengths, real tokens only: linear layers, and attention. */
export function operationsOf(shape: EncoderShape, lengths: readonly number[]) {
  const { hidden_size: h, intermediate_size: f, num_hidden_layers: layers } = shape;
  const tokens = lengths.reduce((sum, length) => sum + length, 0);
  const squares = lengths.reduce((sum, length) => sum + length * length, 0);
  return { linear: layers * tokens * 2 * (4 * h * h + 2 * h * f), attention: layers * 4 * squares * h };
}

/** A layer's linear layers, (in, out). */
export function linearLayers({ hidden_size: h, intermediate_size: f }: EncoderShape): [number, number][] {
  return [
    [h, 3 * h],
    [h, h],
    [h, f],
    [f, h],
  ];
}
