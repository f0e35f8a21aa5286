import assert from 'node:assert/strict';
import { test } from 'node:test';
import { headLayout, mapTensors, transformerLayout } from '#xlembed/models/layout.js';
import type { StoredTensor } from '#xlembed/models/stored_tensor.js';
import { canonicalTransformerName, checkUnknownTensors } from '#xlembed/models/tensor_names.js';
import type { TransformerConfig } from '#xlembed/native.js';
import { expectedTensors, refusal } from './support.js';

const CONFIG: TransformerConfig = {
  vocabularySize: 57,
  hiddenSize: 8,
  layers: 2,
  heads: 2,
  intermediateSize: 16,
  maxPositions: 20,
  tokenTypes: 2,
  layerNormEpsilon: 1e-12,
  firstPosition: 0,
  activation: 'gelu',
  hiddenDropout: 0,
  attentionDropout: 0,
  dropsAttentionOutput: true,
};

function stored(name: string, changes: Partial<StoredTensor> = {}): StoredTensor {
  return { name, path: 'w', offset: 64, bytes: 32, shape: [8], dtype: 'F32', contiguous: true, ...changes };
}

test("the layout has transformers' names and shapes", () => {
  const expected = Object.entries(expectedTensors('bert-version-6')).map(([name, { shape }]) => [
    name,
    shape,
  ]);
  assert.deepEqual(Object.fromEntries(transformerLayout(CONFIG)), Object.fromEntries(expected));
});

test('dense modules are numbered by their place in the head', () => {
  const dense = { type: 'dense', inFeatures: 8, outFeatures: 6, activation: 'tanh' } as const;
  const layout = headLayout([
    { type: 'pool', modes: ['first'] },
    { ...dense, bias: true },
    { type: 'normalize' },
    { ...dense, bias: false },
  ]);
  assert.deepEqual(
    [...layout],
    [
      ['dense.1.linear.weight', [6, 8]],
      ['dense.1.linear.bias', [6]],
      ['dense.3.linear.weight', [6, 8]],
    ],
  );
});

test('prefixes and old names lead to the canonical name; what is not of the encoder leads nowhere', () => {
  const layer = 'encoder.layer.11.attention.output';
  const names: [string, string | undefined][] = [
    ['embeddings.word_embeddings.weight', 'embeddings.word_embeddings.weight'],
    ['bert.embeddings.LayerNorm.gamma', 'embeddings.LayerNorm.weight'],
    ['bert.embeddings.LayerNorm.beta', 'embeddings.LayerNorm.bias'],
    [`roberta.${layer}.dense.bias`, `${layer}.dense.bias`],
    [`0.auto_model.${layer}.LayerNorm.weight`, `${layer}.LayerNorm.weight`],
    [`module.model.bert.${layer}.dense.weight`, `${layer}.dense.weight`],
    ['distilbert.embeddings.LayerNorm.bias', 'embeddings.LayerNorm.bias'],
    ['transformer.layer.3.attention.q_lin.weight', 'encoder.layer.3.attention.self.query.weight'],
    ['distilbert.transformer.layer.3.sa_layer_norm.bias', 'encoder.layer.3.attention.output.LayerNorm.bias'],
    ['0.auto_model.transformer.layer.11.ffn.lin2.bias', 'encoder.layer.11.output.dense.bias'],
    ['vocab_transform.weight', undefined],
    ['embeddings.position_ids', undefined],
    ['bert.embeddings.position_ids', undefined],
    ['bert.pooler.dense.weight', undefined],
    ['cls.predictions.decoder.weight', undefined],
    ['lm_head.dense.weight', undefined],
    ['decoder.embeddings.word_embeddings.weight', undefined],
    ['modelx.embeddings.word_embeddings.weight', undefined],
  ];
  for (const [name, canonical] of names) assert.equal(canonicalTransformerName(name), canonical, name);
});

test('a tensor that is missing, of another shape or named twice is refused', () => {
  const layout = new Map([['embeddings.LayerNorm.weight', [8]]]);
  const map = (...tensors: StoredTensor[]) => mapTensors(layout, tensors, canonicalTransformerName);
  assert.deepEqual(map(stored('bert.embeddings.LayerNorm.gamma')), [
    { name: 'embeddings.LayerNorm.weight', path: 'w', offset: 64, shape: [8], dtype: 'float32' },
  ]);
  refusal(
    () => map(stored('pooler.x')),
    'TENSOR_MISSING',
    /embeddings\.LayerNorm\.weight of shape \[8\] among 1 tensors/,
  );
  refusal(() => map(), 'TENSOR_MISSING', /among 0 tensors/);
  const shape = /expected shape \[8\] for embeddings\.LayerNorm\.weight, received/;
  refusal(() => map(stored('embeddings.LayerNorm.weight', { shape: [9] })), 'TENSOR_SHAPE_MISMATCH', shape);
  refusal(
    () => map(stored('embeddings.LayerNorm.weight', { shape: [8, 1] })),
    'TENSOR_SHAPE_MISMATCH',
    shape,
  );
  refusal(
    () => map(stored('embeddings.LayerNorm.weight'), stored('bert.embeddings.LayerNorm.gamma')),
    'MODEL_INVALID',
    /"embeddings\.LayerNorm\.weight" and "bert\.embeddings\.LayerNorm\.gamma" both stand for/,
  );
});

test('elements that cannot be taken as they lie are refused', () => {
  const layout = new Map([['a', [8]]]);
  const map = (changes: Partial<StoredTensor>) => mapTensors(layout, [stored('a', changes)], (name) => name);
  assert.equal(map({ dtype: 'BF16' })[0]!.dtype, 'bfloat16');
  assert.equal(map({ dtype: 'F16' })[0]!.dtype, 'float16');
  refusal(() => map({ dtype: 'F64' }), 'MODEL_UNSUPPORTED', /"a" has dtype F64, supported: F32, F16, BF16/);
  refusal(() => map({ contiguous: false }), 'MODEL_UNSUPPORTED', /"a" is not contiguous/);
});

test('tensors of the encoder that the layout does not know are not passed over in silence', () => {
  const known = transformerLayout(CONFIG);
  const check = (...names: string[]) =>
    checkUnknownTensors(
      names.map((name) => stored(name)),
      known,
      CONFIG.layers,
    );
  assert.deepEqual(check('pooler.dense.weight', 'embeddings.LayerNorm.bias', 'cls.x'), []);
  assert.deepEqual(check('encoder.layer.2.output.dense.bias', 'encoder.layer.2.output.dense.weight'), [
    '1 layers beyond num_hidden_layers 2 are left out',
  ]);
  refusal(
    () => check('bert.encoder.layer.0.attention.self.distance_embedding.weight'),
    'MODEL_UNSUPPORTED',
    /distance_embedding\.weight" has no place in a BERT encoder/,
  );
  refusal(
    () => check('distilbert.transformer.layer.1.attention.gate.weight'),
    'MODEL_UNSUPPORTED',
    /attention\.gate\.weight" has no place/,
  );
  refusal(() => check('embeddings.task_embeddings.weight'), 'MODEL_UNSUPPORTED', /no place/);
});
