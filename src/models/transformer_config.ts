import { z } from 'zod';
import { XlembedError } from '../errors.js';
import type { TransformerConfig } from '../native.js';
import { type JsonObject, parseFields, readJsonObject } from './json_file.js';

/** Families whose encoder is BERT's; they differ in where positions begin and in the default padding id. */
const FAMILIES: Record<string, { defaultPadId: number; positionsFollowPadding: boolean }> = {
  bert: { defaultPadId: 0, positionsFollowPadding: false },
  roberta: { defaultPadId: 1, positionsFollowPadding: true },
  'xlm-roberta': { defaultPadId: 1, positionsFollowPadding: true },
  camembert: { defaultPadId: 1, positionsFollowPadding: true },
  distilbert: { defaultPadId: 0, positionsFollowPadding: false },
};

/** Hugging Face's names of activations: `gelu` is exact (erf), the others are its tanh approximation. */
const ACTIVATIONS: Record<string, TransformerConfig['activation']> = {
  gelu: 'gelu',
  gelu_new: 'gelu_tanh',
  gelu_pytorch_tanh: 'gelu_tanh',
  relu: 'relu',
};

const count = z.int().positive();
const share = z.number().min(0).lt(1);

// Sizes must be there; the rest has the defaults of transformers' BertConfig, RobertaConfig and DistilBertConfig.
const COMMON = {
  model_type: z.string(),
  vocab_size: count,
  max_position_embeddings: count,
  pad_token_id: z.int().nonnegative().nullish(),
  initializer_range: z.number().positive().default(0.02),
};

const BERT = z.object({
  ...COMMON,
  hidden_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  intermediate_size: count,
  type_vocab_size: count.default(2),
  layer_norm_eps: z.number().positive().default(1e-12),
  hidden_act: z.string().default('gelu'),
  hidden_dropout_prob: share.default(0.1),
  attention_probs_dropout_prob: share.default(0.1),
});

const DISTILBERT = z
  .object({
    ...COMMON,
    dim: count,
    n_layers: count,
    n_heads: count,
    hidden_dim: count,
    activation: z.string().default('gelu'),
    dropout: share.default(0.1),
    attention_dropout: share.default(0.1),
  })
  .transform((fields) => ({
    ...fields,
    hidden_size: fields.dim,
    num_hidden_layers: fields.n_layers,
    num_attention_heads: fields.n_heads,
    intermediate_size: fields.hidden_dim,
    type_vocab_size: 0,
    layer_norm_eps: 1e-12,
    hidden_act: fields.activation,
    hidden_dropout_prob: fields.dropout,
    attention_probs_dropout_prob: fields.attention_dropout,
  }));

export interface HuggingFaceConfig {
  transformer: TransformerConfig;
  modelType: string;
  /** Standard deviation of fresh weights. */
  initializerRange: number;
  /** config.json as it stands. */
  raw: JsonObject;
}

/**
 * Reads a Hugging Face config.json. Throws MODEL_INVALID for a field that is missing or out of range, and
 * MODEL_UNSUPPORTED, naming the field, for an encoder that is not BERT's.
 */
export function readTransformerConfig(path: string): HuggingFaceConfig {
  const raw = readJsonObject(path);
  refuseOtherArchitectures(raw, path);
  const isDistilBert = raw.model_type === 'distilbert';
  const fields = parseFields(isDistilBert ? DISTILBERT : BERT, raw, path);
  const family = FAMILIES[fields.model_type]!;
  const padId = fields.pad_token_id ?? family.defaultPadId;
  const transformer: TransformerConfig = {
    vocabularySize: fields.vocab_size,
    hiddenSize: fields.hidden_size,
    layers: fields.num_hidden_layers,
    heads: fields.num_attention_heads,
    intermediateSize: fields.intermediate_size,
    maxPositions: fields.max_position_embeddings,
    tokenTypes: fields.type_vocab_size,
    layerNormEpsilon: fields.layer_norm_eps,
    firstPosition: family.positionsFollowPadding ? padId + 1 : 0,
    activation: ACTIVATIONS[fields.hidden_act]!,
    hiddenDropout: fields.hidden_dropout_prob,
    attentionDropout: fields.attention_probs_dropout_prob,
    dropsAttentionOutput: !isDistilBert,
  };
  checkRelations(transformer, path);
  return { transformer, modelType: fields.model_type, initializerRange: fields.initializer_range, raw };
}

/** Throws MODEL_UNSUPPORTED, naming the field, for an encoder that is not BERT's; `path` is for messages. */
export function refuseOtherArchitectures(raw: JsonObject, path: string): void {
  refuseUnless(path, raw, 'model_type', Object.keys(FAMILIES));
  const activation = raw.model_type === 'distilbert' ? 'activation' : 'hidden_act';
  refuseUnless(path, raw, activation, [undefined, ...Object.keys(ACTIVATIONS)]);
  refuseUnless(path, raw, 'sinusoidal_pos_embds', [undefined, null, false]);
  refuseUnless(path, raw, 'position_embedding_type', [undefined, null, 'absolute']);
  refuseUnless(path, raw, 'is_decoder', [undefined, null, false]);
  refuseUnless(path, raw, 'add_cross_attention', [undefined, null, false]);
  refuseUnless(path, raw, 'quantization_config', [undefined, null]);
  // A model that brings its own Python code computes something else than its model_type says.
  refuseUnless(path, raw, 'auto_map', [undefined, null]);
}

function refuseUnless(path: string, raw: JsonObject, field: string, supported: unknown[]): void {
  if (supported.includes(raw[field])) return;
  const received = raw[field] === undefined ? 'nothing' : (JSON.stringify(raw[field]) ?? '').slice(0, 80);
  const listed = supported.filter((value) => value !== undefined && value !== null);
  const expected =
    listed.length > 0 ? listed.map((value) => JSON.stringify(value)).join(', ') : 'no such field';
  throw new XlembedError(
    'MODEL_UNSUPPORTED',
    `${path}: ${field} is ${received}, supported: ${expected}`,
    'use an encoder of the BERT or XLM-RoBERTa family',
  );
}

function checkRelations(config: TransformerConfig, path: string): void {
  const { hiddenSize, heads, maxPositions, firstPosition } = config;
  if (hiddenSize % heads !== 0) {
    throw inconsistent(path, `hidden_size ${hiddenSize} is not a multiple of num_attention_heads ${heads}`);
  }
  if (firstPosition >= maxPositions) {
    throw inconsistent(path, `max_position_embeddings ${maxPositions} leaves no position after pad_token_id`);
  }
}

function inconsistent(path: string, what: string): XlembedError {
  return new XlembedError('MODEL_INVALID', `${path}: ${what}`, 'correct the file or fetch it again');
}

/** Tokens that fit into the position table. */
export function longestInput(config: TransformerConfig): number {
  return config.maxPositions - config.firstPosition;
}
