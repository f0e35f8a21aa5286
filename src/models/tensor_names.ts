import { XlembedError } from '../errors.js';
import { fromDistilBert, toDistilBert } from './distilbert.js';
import type { StoredTensor } from './stored_tensor.js';

// What task checkpoints and wrappers put before the encoder's own names: "bert.", "0.auto_model.", "module.model.".
const PREFIX =
  /^(?:(?:module|model|bert|roberta|camembert|distilbert|auto_model|\d+)\.)+(?=(?:embeddings|encoder|transformer|pooler)\.)/;

// Buffers that hold no weights.
const BUFFERS = new Set(['embeddings.position_ids', 'embeddings.token_type_ids']);

/** A file's spelling of a transformer tensor -> the canonical one; undefined for what the encoder does not use. */
export function canonicalTransformerName(name: string): string | undefined {
  const bare = fromDistilBert(name.replace(PREFIX, ''));
  const inEncoder = bare.startsWith('embeddings.') || bare.startsWith('encoder.layer.');
  if (!inEncoder || BUFFERS.has(bare)) return undefined;
  return bare.replace(/LayerNorm\.gamma$/, 'LayerNorm.weight').replace(/LayerNorm\.beta$/, 'LayerNorm.bias');
}

/** A canonical name -> what transformers' class for `modelType` calls the tensor. */
export function savedTransformerName(modelType: string, name: string): string {
  return modelType === 'distilbert' ? toDistilBert(name) : name;
}

/**
 * Tensors inside embeddings or layers that the layout does not know, such as relative positions, mean that
 * the model computes something else: MODEL_UNSUPPORTED. Layers beyond the configured ones are only reported.
 * Returns notes.
 */
export function checkUnknownTensors(
  tensors: readonly StoredTensor[],
  known: { has(name: string): boolean },
  layers: number,
): string[] {
  const beyond = new Set<number>();
  for (const tensor of tensors) {
    const name = canonicalTransformerName(tensor.name);
    if (name === undefined || known.has(name)) continue;
    const layer = Number(/^encoder\.layer\.(\d+)\./.exec(name)?.[1] ?? -1);
    if (layer < layers) throw unknownTensor(tensor);
    beyond.add(layer);
  }
  return beyond.size > 0 ? [`${beyond.size} layers beyond num_hidden_layers ${layers} are left out`] : [];
}

function unknownTensor(tensor: StoredTensor): XlembedError {
  return new XlembedError(
    'MODEL_UNSUPPORTED',
    `${tensor.path}: tensor "${tensor.name}" has no place in a BERT encoder`,
    'use an encoder of the BERT or XLM-RoBERTa family',
  );
}
