import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { longestInput, readTransformerConfig } from '#xlembed/models/transformer_config.js';
import { putFile, putJson, refusal, temporaryFolder } from './support.js';

const path = join(temporaryFolder(), 'config.json');

const SIZES = {
  model_type: 'bert',
  vocab_size: 119547,
  hidden_size: 768,
  num_hidden_layers: 12,
  num_attention_heads: 12,
  intermediate_size: 3072,
  max_position_embeddings: 512,
};

function read(changes: Record<string, unknown>) {
  return readTransformerConfig(putJson(path, { ...SIZES, ...changes }));
}

test("what config.json leaves out has the defaults of transformers' BertConfig", () => {
  const config = read({});
  assert.deepEqual(config.transformer, {
    vocabularySize: 119547,
    hiddenSize: 768,
    layers: 12,
    heads: 12,
    intermediateSize: 3072,
    maxPositions: 512,
    tokenTypes: 2,
    layerNormEpsilon: 1e-12,
    firstPosition: 0,
    activation: 'gelu',
    hiddenDropout: 0.1,
    attentionDropout: 0.1,
    dropsAttentionOutput: true,
  });
  assert.equal(config.initializerRange, 0.02);
  assert.deepEqual(config.raw, SIZES);
});

test('RoBERTa-like encoders count positions from behind the padding id', () => {
  for (const modelType of ['roberta', 'xlm-roberta', 'camembert']) {
    const sizes = { model_type: modelType, max_position_embeddings: 514 };
    const config = read({ ...sizes, pad_token_id: 1 }).transformer;
    assert.deepEqual([config.firstPosition, longestInput(config)], [2, 512]);
    assert.equal(read(sizes).transformer.firstPosition, 2);
    assert.equal(read({ ...sizes, pad_token_id: 0 }).transformer.firstPosition, 1);
  }
  assert.equal(longestInput(read({ pad_token_id: 3 }).transformer), 512);
});

test('DistilBERT has its own names, neither token types nor dropout of what attention gives', () => {
  const sizes = { model_type: 'distilbert', vocab_size: 119547, max_position_embeddings: 512 };
  const own = { ...sizes, dim: 768, n_layers: 6, n_heads: 12, hidden_dim: 3072 };
  const readOwn = (changes: Record<string, unknown>) =>
    readTransformerConfig(putJson(path, { ...own, ...changes })).transformer;
  const rest = { layers: 6, tokenTypes: 0, dropsAttentionOutput: false };
  assert.deepEqual(readOwn({}), { ...read({}).transformer, ...rest });
  const changed = readOwn({ activation: 'relu', dropout: 0.2, attention_dropout: 0.3 });
  assert.deepEqual([changed.activation, changed.hiddenDropout, changed.attentionDropout], ['relu', 0.2, 0.3]);
  for (const field of ['dim', 'n_layers', 'n_heads', 'hidden_dim'])
    refusal(() => readOwn({ [field]: undefined }), 'MODEL_INVALID', new RegExp(`${field}: expected`));
  refusal(() => readOwn({ activation: 'silu' }), 'MODEL_UNSUPPORTED', /activation is "silu"/);
  refusal(() => readOwn({ sinusoidal_pos_embds: true }), 'MODEL_UNSUPPORTED', /sinusoidal_pos_embds is true/);
});

test('activations have the formula that transformers gives their names', () => {
  const activation = (name: string) => read({ hidden_act: name }).transformer.activation;
  assert.deepEqual(['gelu', 'gelu_new', 'gelu_pytorch_tanh', 'relu'].map(activation), [
    'gelu',
    'gelu_tanh',
    'gelu_tanh',
    'relu',
  ]);
});

test('other encoders are refused by the field that makes them others', () => {
  const attempt = (changes: Record<string, unknown>, message: RegExp) =>
    refusal(() => read(changes), 'MODEL_UNSUPPORTED', message);
  attempt(
    { model_type: 'modernbert' },
    /model_type is "modernbert", supported: "bert", "roberta", "xlm-roberta"/,
  );
  attempt({ model_type: undefined }, /model_type is nothing/);
  attempt({ model_type: 'constructor' }, /model_type is "constructor"/);
  attempt(
    { position_embedding_type: 'relative_key' },
    /position_embedding_type is "relative_key", supported: "absolute"/,
  );
  attempt({ is_decoder: true }, /is_decoder is true, supported: false/);
  attempt({ add_cross_attention: true }, /add_cross_attention is true/);
  attempt({ hidden_act: 'silu' }, /hidden_act is "silu", supported: "gelu"/);
  attempt(
    { quantization_config: { bits: 4 } },
    /quantization_config is \{"bits":4\}, supported: no such field/,
  );
  attempt({ auto_map: { AutoModel: 'a--b.C' } }, /auto_map is/);
  assert.equal(
    read({ position_embedding_type: 'absolute', is_decoder: false, auto_map: null }).modelType,
    'bert',
  );
});

test('a field that is missing, of another type or out of range is named', () => {
  const attempt = (changes: Record<string, unknown>, message: RegExp) =>
    refusal(() => read(changes), 'MODEL_INVALID', message);
  for (const field of Object.keys(SIZES).slice(1)) {
    attempt({ [field]: undefined }, new RegExp(`config.json: ${field}: expected`));
    attempt({ [field]: 'many' }, new RegExp(`${field}: expected (int|number), received string`));
    attempt({ [field]: 0 }, new RegExp(`${field}: .*0`));
    attempt({ [field]: 1.5 }, new RegExp(`${field}: expected int`));
  }
  attempt({ hidden_size: 770 }, /hidden_size 770 is not a multiple of num_attention_heads 12/);
  attempt({ layer_norm_eps: 0 }, /layer_norm_eps/);
  attempt({ hidden_dropout_prob: 1 }, /hidden_dropout_prob/);
  attempt({ pad_token_id: -1 }, /pad_token_id/);
  attempt({ model_type: 'roberta', pad_token_id: 511 }, /leaves no position/);
});

test('a file that is no JSON object is refused', () => {
  const attempt = (text: string | Uint8Array, message: RegExp) =>
    refusal(() => readTransformerConfig(putFile(path, text)), 'MODEL_INVALID', message);
  attempt('[]', /config\.json: expected record, received array/);
  attempt('{', /is not UTF-8 JSON/);
  attempt(Buffer.from([0x7b, 0xff, 0x7d]), /is not UTF-8 JSON/);
  refusal(() => readTransformerConfig(`${path}.gone`), 'FILE_NOT_FOUND', /does not exist/);
});
