import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Encoder } from '#xlembed/encoding/encoder.js';
import { openModel } from '#xlembed/models/open_model.js';
import { saveModel } from '#xlembed/models/save_model.js';
import { Trainer } from '#xlembed/training/trainer.js';
import { changedModel, encoderOf, putJson, refusalOf, temporaryFolder } from './support.js';

const open = (model: string, file: string, changes: Record<string, unknown>) => () =>
  openModel(changedModel(model, file, changes));
const pooling = (changes: Record<string, unknown>) =>
  open('labse-version-5', '1_Pooling/config.json', changes);
const newPooling = (changes: Record<string, unknown>) =>
  open('bert-version-6', '1_Pooling/config.json', changes);
const dense = (changes: Record<string, unknown>) => open('labse-version-5', '2_Dense/config.json', changes);
const encoding = (changes: Record<string, unknown>) =>
  open('bert-version-6', 'config_sentence_transformers.json', changes);

async function openWithModules(modules: unknown): Promise<unknown> {
  const folder = changedModel('bert-version-6', 'config.json', {});
  putJson(join(folder, 'modules.json'), modules);
  return openModel(folder);
}

test('both spellings of pooling are read', async () => {
  const none = { pooling_mode_cls_token: false };
  assert.deepEqual((await pooling(none)()).head[0], { type: 'pool', modes: ['mean'] });
  assert.deepEqual((await pooling({ ...none, pooling_mode_mean_tokens: true })()).head[0], {
    type: 'pool',
    modes: ['mean'],
  });
  assert.deepEqual((await newPooling({ pooling_mode: 'cls' })()).head[0], { type: 'pool', modes: ['first'] });
  const max = { pooling_mode_cls_token: false, pooling_mode_max_tokens: true };
  assert.deepEqual((await pooling(max)()).head[0], { type: 'pool', modes: ['max'] });
  assert.deepEqual((await newPooling({ pooling_mode: ['mean'] })()).head[0], {
    type: 'pool',
    modes: ['mean'],
  });
});

test('several modes: flags in their fixed order, a list in its own', async () => {
  const modes = async (opening: Promise<{ head: unknown[] }>) => (await opening).head[0];
  const flags = { pooling_mode_lasttoken: true, pooling_mode_max_tokens: true };
  const widened = { out_features: 6, in_features: 24 };
  const folder = changedModel('labse-version-5', '1_Pooling/config.json', flags);
  await refusalOf(
    () => openModel(folder),
    'MODEL_INVALID',
    /in_features is 8, the module before it gives 24/,
  );
  putJson(join(folder, '2_Dense/config.json'), widened);
  await refusalOf(
    () => openModel(folder),
    'TENSOR_SHAPE_MISMATCH',
    /expected shape \[6, 24\] for linear\.weight/,
  );
  assert.deepEqual(await modes(newPooling({ pooling_mode: undefined, ...flags })()), {
    type: 'pool',
    modes: ['max', 'last'],
  });
  assert.deepEqual(await modes(newPooling({ pooling_mode: ['lasttoken', 'cls'] })()), {
    type: 'pool',
    modes: ['last', 'first'],
  });
});

test('pooling that the head does not compute is refused by its field', async () => {
  await refusalOf(
    newPooling({ pooling_mode: ['cls', 'median'] }),
    'MODEL_UNSUPPORTED',
    /pooling_mode is "median", supported: "cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"/,
  );
  await refusalOf(
    newPooling({ pooling_mode: ['cls', 'cls'] }),
    'MODEL_UNSUPPORTED',
    /pooling_mode is \["cls","cls"\], supported: "each mode once"/,
  );
  await refusalOf(
    newPooling({ pooling_mode: 'toString' }),
    'MODEL_UNSUPPORTED',
    /pooling_mode is "toString"/,
  );
  await refusalOf(
    newPooling({ include_prompt: false }),
    'MODEL_UNSUPPORTED',
    /include_prompt is false, supported: true/,
  );
  await refusalOf(
    newPooling({ embedding_dimension: 9 }),
    'MODEL_INVALID',
    /embedding_dimension is 9, the module before it gives 8/,
  );
});

test('a model that pools without prompts opens, keeps saying so, and refuses prompts', async () => {
  const model = await pooling({ include_prompt: false })();
  assert.deepEqual([model.head.length, model.includePrompt], [3, false]);
  const folder = join(temporaryFolder(), 'saved');
  await saveModel(model, encoderOf(model), folder);
  const encoder = await Encoder.load(folder, { tokenizerThreads: 1 });
  assert.equal((await encoder.encode(['a'], { role: 'query' })).rows, 1);
  await refusalOf(
    () => encoder.encode(['a'], { prompt: 'q: ' }),
    'MODEL_UNSUPPORTED',
    /include_prompt is false/,
  );
  const records = [0, 1].map((n) => ({ id: `${n}`, query: { en: `q${n}` }, positive: { en: `p${n}` } }));
  const train = () => Trainer.create(encoder, records, { queryPrompt: 'q: ' });
  await refusalOf(train, 'MODEL_UNSUPPORTED', /received the prompt "q: "/);
  await encoder.dispose();
});

test('a tokenizer that cuts texts on the left is refused', async () => {
  await refusalOf(
    open('bert-version-6', 'tokenizer_config.json', { truncation_side: 'left' }),
    'MODEL_UNSUPPORTED',
    /tokenizer_config\.json: truncation_side is "left", supported: "right"/,
  );
});

test('the length file may have the name of any class that sentence-transformers had', async () => {
  const names = ['bert', 'roberta', 'distilbert', 'camembert', 'albert', 'xlm-roberta', 'xlnet'];
  for (const name of names) {
    const folder = changedModel('labse-version-5', 'config.json', {});
    rmSync(join(folder, 'sentence_bert_config.json'));
    putJson(join(folder, `sentence_${name}_config.json`), { max_seq_length: 7 });
    assert.equal((await openModel(folder)).maxTokens, 7, name);
  }
});

test('dense modules: every activation, and what is refused', async () => {
  const activation = async (name: string) => {
    const module = (await dense({ activation_function: name })()).head[1]!;
    return module.type === 'dense' ? module.activation : module.type;
  };
  assert.equal(await activation('torch.nn.modules.linear.Identity'), 'identity');
  assert.equal(await activation('torch.nn.modules.activation.GELU'), 'gelu');
  assert.equal(await activation('torch.nn.modules.activation.ReLU'), 'relu');
  await refusalOf(
    dense({ activation_function: 'torch.nn.modules.activation.SiLU' }),
    'MODEL_UNSUPPORTED',
    /activation_function is "torch/,
  );
  await refusalOf(dense({ use_residual: true }), 'MODEL_UNSUPPORTED', /use_residual is true/);
  await refusalOf(
    dense({ module_input_name: 'token_embeddings' }),
    'MODEL_UNSUPPORTED',
    /module_input_name is "token_embeddings"/,
  );
  await refusalOf(
    dense({ in_features: 7 }),
    'MODEL_INVALID',
    /in_features is 7, the module before it gives 8/,
  );
  await refusalOf(
    dense({ out_features: 5 }),
    'TENSOR_SHAPE_MISMATCH',
    /expected shape \[5, 8\] for linear\.weight/,
  );
});

test('modules.json: what it may name, and where it may lead', async () => {
  const transformer = { path: '', type: 'sentence_transformers.models.Transformer' };
  const pool = { path: '1_Pooling', type: 'sentence_transformers.models.Pooling' };
  const attempt = (modules: unknown, message: RegExp) =>
    refusalOf(() => openWithModules(modules), 'MODEL_UNSUPPORTED', message);
  await attempt(
    [{ ...transformer, type: 'sentence_transformers.models.CLIPModel' }],
    /0\.type is "CLIPModel", supported: "Transformer"/,
  );
  await attempt([transformer], /modules\.json: 1\.type is null, supported: "Pooling"/);
  await attempt(
    [transformer, { ...pool, type: 'sentence_transformers.models.LSTM' }],
    /modules\.json: 1\.type is "LSTM", supported: "Pooling"/,
  );
  await attempt(
    [transformer, pool, { ...pool, type: 'sentence_transformers.models.LayerNorm' }],
    /2\.type is "LayerNorm", supported: "Dense", "Normalize"/,
  );
  await attempt([transformer, pool, pool], /2\.type is "Pooling"/);
  // A repository's own code, under names that are known.
  await attempt(
    [{ ...transformer, type: 'custom_st.Transformer' }, pool],
    /0\.type is "custom_st\.Transformer", supported: "sentence_transformers\.\*"/,
  );
  await attempt([transformer, { ...pool, type: 'my.Pooling' }], /1\.type is "my\.Pooling"/);
  const invalid = (modules: unknown, message: RegExp) =>
    refusalOf(() => openWithModules(modules), 'MODEL_INVALID', message);
  for (const path of ['../other', '/etc', '..', 'a/../..']) {
    await invalid([transformer, { ...pool, path }], /1\.path .* leads out of the model folder/);
  }
  await invalid([], /modules\.json: /);
  await invalid({}, /modules\.json: expected array, received object/);
  await invalid([{ path: '' }], /0\.type: expected string, received undefined/);
});

test('a module of another kind is named before its files are looked for', async () => {
  const clip = [{ path: '0_CLIPModel', type: 'sentence_transformers.models.CLIPModel' }];
  await refusalOf(() => openWithModules(clip), 'MODEL_UNSUPPORTED', /0\.type is "CLIPModel"/);
});

test('prompts, similarity and lower-casing', async () => {
  const read = await encoding({ default_prompt_name: 'query', similarity_fn_name: 'dot_score' })();
  assert.deepEqual([read.defaultPrompt, read.similarity], ['query', 'dot']);
  await refusalOf(
    encoding({ default_prompt_name: 'x' }),
    'MODEL_INVALID',
    /default_prompt_name "x" is not in prompts/,
  );
  await refusalOf(
    encoding({ similarity_fn_name: 'maxsim' }),
    'MODEL_UNSUPPORTED',
    /similarity_fn_name is "maxsim"/,
  );
  const truncated = await refusalOf(
    encoding({ truncate_dim: 4 }),
    'MODEL_UNSUPPORTED',
    /truncate_dim is 4, supported: null/,
  );
  assert.match(truncated.hint!, /--dimensions 4/);
  await refusalOf(
    encoding({ model_type: 'SparseEncoder' }),
    'MODEL_UNSUPPORTED',
    /model_type is "SparseEncoder"/,
  );
  await refusalOf(
    encoding({ prompts: { query: 1 } }),
    'MODEL_INVALID',
    /prompts\.query: expected string, received number/,
  );
  await refusalOf(
    open('labse-version-5', 'sentence_bert_config.json', { do_lower_case: 'yes' }),
    'MODEL_INVALID',
    /do_lower_case: expected boolean, received string/,
  );
});

test('a transformer with settings that change its result is refused by them', async () => {
  const transformer = (changes: Record<string, unknown>) =>
    open('bert-version-6', 'sentence_bert_config.json', changes);
  const attempt = (changes: Record<string, unknown>, message: RegExp) =>
    refusalOf(transformer(changes), 'MODEL_UNSUPPORTED', message);
  await attempt({ transformer_task: 'fill-mask' }, /transformer_task is "fill-mask"/);
  await attempt({ module_output_name: 'scores' }, /module_output_name is "scores"/);
  await attempt(
    { modality_config: { text: { method: 'forward', method_output_name: 'pooler_output' } } },
    /modality_config\.text\.method_output_name is "pooler_output", supported: "last_hidden_state"/,
  );
  await attempt({ config_args: { num_hidden_layers: 1 } }, /config_args is \{"num_hidden_layers":1\}/);
  await attempt({ processing_kwargs: { text: { max_length: 8 } } }, /processing_kwargs is .*supported: \{\}/);
  assert.equal((await transformer({ model_args: {}, config_kwargs: null })()).modelType, 'bert');
});
