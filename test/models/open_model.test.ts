import assert from 'node:assert/strict';
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { describeFreshModel, openModel } from '#xlembed/models/open_model.js';
import { defaultPromptOf, promptFor } from '#xlembed/models/prompts.js';
import { REFERENCE_MODELS } from './reference_models.js';
import {
  changedModel,
  expectedTensors,
  putFile,
  putJson,
  REFERENCE,
  readBytes,
  refusal,
  refusalOf,
  sha256,
  temporaryFolder,
} from './support.js';

for (const name of REFERENCE_MODELS) {
  test(`${name}: every source names the bytes of its tensor`, async () => {
    const { sources } = await openModel(join(REFERENCE, name));
    const expected = expectedTensors(name);
    assert.deepEqual(sources.map((source) => source.name).sort(), Object.keys(expected).sort());
    for (const source of sources) {
      const { shape, dtype, sha256: digest } = expected[source.name]!;
      assert.deepEqual([source.shape, source.dtype], [shape, dtype], source.name);
      assert.equal(sha256(readBytes(source)), digest, source.name);
    }
  });
}

test('a folder of sentence-transformers 6', async () => {
  const model = await openModel(join(REFERENCE, 'bert-version-6'));
  assert.deepEqual(model.head, [{ type: 'pool', modes: ['mean'] }, { type: 'normalize' }]);
  assert.deepEqual(model.prompts, { query: 'query: ', document: 'passage: ' });
  assert.deepEqual(
    [model.maxTokens, model.similarity, model.modelType, model.defaultPrompt],
    [16, 'cosine', 'bert', null],
  );
  assert.deepEqual(model.notes, []);
  assert.equal(model.initializerRange, 0.2);
});

test('a folder in the spelling of versions 2 to 5, with first-token pooling and a dense module', async () => {
  const model = await openModel(join(REFERENCE, 'labse-version-5'));
  assert.deepEqual(model.head, [
    { type: 'pool', modes: ['first'] },
    { type: 'dense', inFeatures: 8, outFeatures: 6, bias: true, activation: 'tanh' },
    { type: 'normalize' },
  ]);
  assert.ok(model.backbone.type === 'transformer');
  assert.deepEqual([model.maxTokens, model.backbone.activation], [18, 'gelu_tanh']);
});

test('a plain Hugging Face folder gets mean pooling and normalisation, and says so', async () => {
  const model = await openModel(join(REFERENCE, 'xlm-roberta-sharded'));
  assert.deepEqual(model.head, [{ type: 'pool', modes: ['mean'] }, { type: 'normalize' }]);
  assert.match(model.notes[0]!, /has no modules\.json: mean pooling and L2 normalisation are used/);
  assert.ok(model.backbone.type === 'transformer');
  assert.deepEqual([model.backbone.firstPosition, model.maxTokens], [2, 20]);
});

test('the limit of tokens is the folder\u2019s own, then the tokenizer\u2019s, never beyond the positions', async () => {
  const limit = async (file: string, changes: Record<string, unknown>) => {
    const folder = changedModel('labse-version-5', file, changes);
    if (file !== 'sentence_bert_config.json') rmSync(join(folder, 'sentence_bert_config.json'));
    return openModel(folder);
  };
  assert.equal((await limit('tokenizer_config.json', { model_max_length: 12 })).maxTokens, 12);
  assert.equal((await limit('tokenizer_config.json', { model_max_length: 1e30 })).maxTokens, 20);
  const tooLong = await limit('sentence_bert_config.json', { max_seq_length: 512 });
  assert.equal(tooLong.maxTokens, 20);
  assert.match(tooLong.notes[0]!, /limit of 512 tokens exceeds the 20 positions/);
});

test('model.safetensors comes before pytorch_model.bin', async () => {
  const folder = changedModel('bert-version-6', 'modules.json', {});
  cpSync(join(REFERENCE, 'bert-version-6/modules.json'), join(folder, 'modules.json'));
  putFile(join(folder, 'pytorch_model.bin'), 'not a checkpoint');
  const { sources } = await openModel(folder);
  assert.ok(sources.every(({ path }) => path.endsWith('model.safetensors')));
});

test('what a folder lacks is named', async () => {
  await refusalOf(
    () => openModel('no/such/folder'),
    'FILE_NOT_FOUND',
    /the model folder no\/such\/folder does not exist/,
  );
  const without = (file: string) => {
    const folder = changedModel('xlm-roberta-sharded', 'config.json', {});
    rmSync(join(folder, file));
    return () => openModel(folder);
  };
  await refusalOf(without('config.json'), 'FILE_NOT_FOUND', /config\.json does not exist/);
  await refusalOf(without('tokenizer.json'), 'FILE_NOT_FOUND', /tokenizer\.json does not exist/);
  await refusalOf(
    without('model.safetensors.index.json'),
    'FILE_NOT_FOUND',
    /holds no weights: expected model\.safetensors or/,
  );
  await refusalOf(
    without('model-00002-of-00002.safetensors'),
    'FILE_NOT_FOUND',
    /shard model-00002-of-00002\.safetensors is missing/,
  );
});

test('a configuration of endless nesting is refused', async () => {
  const folder = changedModel('bert-version-6', 'config.json', { auto_map: 0 });
  const path = join(folder, 'config.json');
  const deep = '['.repeat(1e5) + ']'.repeat(1e5);
  writeFileSync(path, readFileSync(path, 'utf8').replace('"auto_map":0', `"auto_map":${deep}`));
  await refusalOf(() => openModel(folder), 'MODEL_INVALID', /config\.json is nested deeper than 64 levels/);
});

test('weights of another configuration are refused', async () => {
  const changed = (changes: Record<string, unknown>) => () =>
    openModel(changedModel('xlm-roberta-sharded', 'config.json', changes));
  await refusalOf(
    changed({ num_hidden_layers: 3 }),
    'TENSOR_MISSING',
    /encoder\.layer\.2\.attention\.self\.query\.weight/,
  );
  await refusalOf(
    changed({ vocab_size: 40 }),
    'TENSOR_SHAPE_MISMATCH',
    /expected shape \[40, 8\] for embeddings\.word_embeddings\.weight, received \[36, 8\]/,
  );
  const fewer = await changed({ num_hidden_layers: 1 })();
  assert.ok(fewer.notes.includes('1 layers beyond num_hidden_layers 1 are left out'));
});

test('a checkpoint in shards: each tensor from the shard that the index names', async () => {
  const folder = changedModel('labse-version-5', 'config.json', {});
  const shards = ['pytorch_model-00001-of-00002.bin', 'pytorch_model-00002-of-00002.bin'];
  for (const shard of shards) cpSync(join(folder, 'pytorch_model.bin'), join(folder, shard));
  rmSync(join(folder, 'pytorch_model.bin'));
  const names = Object.keys(expectedTensors('labse-version-5')).filter((name) => !name.startsWith('dense.'));
  const shardOf = (name: string) => shards[name.includes('layer.1.') ? 1 : 0]!;
  const inFile = (name: string) =>
    `bert.${name.replace('LayerNorm.weight', 'LayerNorm.gamma').replace('LayerNorm.bias', 'LayerNorm.beta')}`;
  const index = (map: Record<string, string>) =>
    putJson(join(folder, 'pytorch_model.bin.index.json'), { metadata: { total_size: 1 }, weight_map: map });
  const map = Object.fromEntries(names.map((name) => [inFile(name), shardOf(name)]));
  index(map);
  const { sources } = await openModel(folder);
  for (const source of sources.filter(({ name }) => !name.startsWith('dense.'))) {
    assert.equal(source.path, join(folder, shardOf(source.name)));
    assert.equal(sha256(readBytes(source)), expectedTensors('labse-version-5')[source.name]!.sha256);
  }
  index({ ...map, extra: '../pytorch_model.bin' });
  await refusalOf(
    () => openModel(folder),
    'CHECKPOINT_INVALID',
    /is not the name of a file in the same folder/,
  );
  index({ ...map, extra: shards[0]! });
  await refusalOf(() => openModel(folder), 'CHECKPOINT_INVALID', /"extra" is not in its shard/);
});

test('without tokenizer.json: the vocabulary of a known pipeline, nothing else', async () => {
  const open = async (model: string, file: string, config?: unknown) => {
    const folder = changedModel(model, 'config.json', {});
    for (const name of ['tokenizer.json', 'tokenizer_config.json'])
      rmSync(join(folder, name), { force: true });
    putFile(join(folder, file), '');
    if (config) putJson(join(folder, 'tokenizer_config.json'), config);
    return basename((await openModel(folder)).tokenizerPath);
  };
  const [bert, xlmr] = ['bert-version-6', 'xlm-roberta-sharded'];
  assert.equal(await open(bert, 'vocab.txt'), 'vocab.txt');
  assert.equal(await open(bert, 'vocab.txt', { tokenizer_class: 'BertTokenizerFast' }), 'vocab.txt');
  assert.equal(await open('distiluse-version-5', 'vocab.txt', {}), 'vocab.txt');
  assert.equal(await open(xlmr, 'sentencepiece.bpe.model', {}), 'sentencepiece.bpe.model');
  const xlmrClass = { tokenizer_class: 'XLMRobertaTokenizer' };
  assert.equal(await open(bert, 'sentencepiece.bpe.model', xlmrClass), 'sentencepiece.bpe.model');
  const refused = (...given: Parameters<typeof open>) =>
    refusalOf(() => open(...given), 'FILE_NOT_FOUND', /tokenizer\.json does not exist/);
  await refused(bert, 'vocab.txt', { tokenizer_class: 'BertJapaneseTokenizer' });
  await refused(bert, 'vocab.txt', xlmrClass);
  await refused('roberta-float16', 'vocab.txt');
  await refused(xlmr, 'sentencepiece.bpe.model', { tokenizer_class: 'CamembertTokenizer' });
});

test('a fresh model is described by a configuration and a tokenizer', () => {
  const files = {
    configPath: join(REFERENCE, 'xlm-roberta-sharded/config.json'),
    tokenizerPath: join(REFERENCE, 'xlm-roberta-sharded/tokenizer.json'),
  };
  const model = describeFreshModel(files);
  assert.deepEqual([model.folder, model.sources, model.maxTokens], [null, [], 20]);
  assert.deepEqual(model.head, [{ type: 'pool', modes: ['mean'] }, { type: 'normalize' }]);
  const chosen = describeFreshModel({
    ...files,
    pooling: 'first',
    normalize: false,
    maxTokens: 9,
    prompts: { query: 'q ' },
  });
  assert.deepEqual(
    [chosen.head, chosen.maxTokens, chosen.prompts],
    [[{ type: 'pool', modes: ['first'] }], 9, { query: 'q ' }],
  );
  const missing = { ...files, tokenizerPath: 'no/tokenizer.json' };
  refusal(() => describeFreshModel(missing), 'FILE_NOT_FOUND', /no\/tokenizer\.json does not exist/);
});

test('a folder may keep its transformer in a subfolder', async () => {
  const folder = join(temporaryFolder(), 'old');
  cpSync(join(REFERENCE, 'bert-version-6'), join(folder, '0_Transformer'), { recursive: true });
  cpSync(join(REFERENCE, 'bert-version-6/1_Pooling'), join(folder, '1_Pooling'), { recursive: true });
  const entry = (path: string, type: string) => ({
    idx: 0,
    name: '0',
    path,
    type: `sentence_transformers.models.${type}`,
  });
  putJson(join(folder, 'modules.json'), [
    entry('0_Transformer', 'Transformer'),
    entry('1_Pooling', 'Pooling'),
  ]);
  const model = await openModel(folder);
  assert.deepEqual(model.head, [{ type: 'pool', modes: ['mean'] }]);
  assert.equal(model.tokenizerPath, join(folder, '0_Transformer/tokenizer.json'));
});

test('a role has its own prompt or none, as in sentence-transformers; the default prompt is for inputs of no role', () => {
  const model = (prompts: Record<string, string>, defaultPrompt: string | null = null) => ({
    prompts,
    defaultPrompt,
  });
  const e5 = model({ query: 'query: ', passage: 'passage: ' });
  assert.deepEqual([promptFor(e5, 'query'), promptFor(e5, 'passage')], ['query: ', 'passage: ']);
  assert.equal(promptFor(model({ document: 'd: ' }), 'passage'), 'd: ');
  assert.equal(promptFor(model({ corpus: 'c: ' }), 'passage'), 'c: ');
  assert.equal(promptFor(model({ document: 'd: ' }), 'query'), '');
  assert.equal(promptFor(model({ document: 'd: ', passage: 'p: ', corpus: 'c: ' }), 'passage'), 'd: ');
  assert.equal(promptFor(model({ passage: 'p: ', corpus: 'c: ' }), 'passage'), 'p: ');
  assert.equal(promptFor(model({ document: '', passage: 'p: ' }), 'passage'), 'p: ');
  assert.equal(promptFor(model({ document: '', corpus: 'c: ' }), 'passage'), '');
  const withDefault = model({ x: 'x: ' }, 'x');
  assert.deepEqual([promptFor(withDefault, 'query'), promptFor(withDefault, 'passage')], ['', '']);
  assert.deepEqual([defaultPromptOf(withDefault), defaultPromptOf(e5)], ['x: ', '']);
});

test('an adapter that lies in the folder is refused, not passed over: transformers would add it', async () => {
  const folder = changedModel('bert-version-6', 'config.json', {});
  putJson(join(folder, 'adapter_config.json'), { peft_type: 'LORA', base_model_name_or_path: 'other' });
  await assert.rejects(openModel(folder), {
    code: 'MODEL_UNSUPPORTED',
    message: /adapter_config\.json: PEFT's adapters/,
    hint: /merge_and_unload/,
  });
});
