import assert from 'node:assert/strict';
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseDictionary } from '#xlembed/models/laser_dictionary.js';
import { type ModelDescription, openModel } from '#xlembed/models/open_model.js';
import { saveModel } from '#xlembed/models/save_model.js';
import { LASER } from '../encoding/laser_golden.js';
import { encoderOf, putJson, readBytes, refusalOf, temporaryFolder } from './support.js';

const scratch = temporaryFolder();
let copies = 0;

/** A copy of the published files. */
function published(...without: string[]): string {
  const folder = join(scratch, `published-${++copies}`);
  cpSync(LASER, folder, { recursive: true });
  for (const file of without) rmSync(join(folder, file));
  return folder;
}

/** A folder of our own. */
async function own(): Promise<string> {
  const folder = join(scratch, `own-${++copies}`);
  const model = await openModel(LASER);
  await saveModel(model, encoderOf(model), folder);
  return folder;
}

/** A folder of our own, a JSON file of it with some fields changed; undefined removes a field. */
async function changed(file: string, changes: Record<string, unknown>): Promise<string> {
  const folder = await own();
  const path = join(folder, file);
  putJson(path, { ...JSON.parse(readFileSync(path, 'utf8')), ...changes });
  return folder;
}

/** The checkpoint with bytes of its pickle replaced by as many others. */
function patched(from: string, to: string): string {
  const folder = published('laser2.cvocab');
  const path = join(folder, 'laser2.pt');
  const bytes = readFileSync(path);
  const at = bytes.indexOf(from);
  assert.ok(at > 0 && from.length === to.length);
  bytes.write(to, at, 'utf8');
  writeFileSync(path, bytes);
  return folder;
}

const content = ({ folder, tokenizerPath, sources, hfConfig, notes, ...rest }: ModelDescription) => ({
  ...rest,
  tensors: sources
    .map((source) => [source.name, source.shape, readBytes(source).toString('hex')])
    .sort((a, b) => (String(a[0]) < String(b[0]) ? -1 : 1)),
});

test('the published files: what they say', async () => {
  const model = await openModel(LASER);
  assert.deepEqual(model.backbone, {
    type: 'lstm',
    vocabularySize: 80,
    embeddingSize: 12,
    hiddenSize: 8,
    layers: 2,
    bidirectional: true,
    dropout: 0,
  });
  assert.deepEqual(model.head, [{ type: 'pool', modes: ['max'] }]);
  assert.deepEqual(
    [model.modelType, model.similarity, model.maxTokens, model.prompts, model.notes],
    ['laser2', 'cosine', 4096, { query: '', passage: '' }, []],
  );
  assert.equal(model.sources.length, 1 + 2 * 2 * 4);
  assert.equal(model.dictionary?.size, 80);
});

test('what is saved opens again as the same model, twice', async () => {
  const model = await openModel(LASER);
  const folder = await own();
  assert.deepEqual(readdirSync(folder).sort(), [
    'config.json',
    'dictionary.json',
    'model.safetensors',
    'sentencepiece.model',
  ]);
  const again = await openModel(folder);
  assert.deepEqual(content(again), content(model));
  const changes = { max_tokens: 77, dropout: 0.25, prompts: { query: 'q ' }, similarity: 'dot', extra: [1] };
  const other = await openModel(await changed('config.json', changes));
  await saveModel(other, encoderOf(other), join(scratch, 'twice'));
  const twice = await openModel(join(scratch, 'twice'));
  assert.deepEqual(content(twice), content(other));
  assert.deepEqual([twice.maxTokens, twice.prompts, twice.similarity], [77, { query: 'q ' }, 'dot']);
  assert.deepEqual(twice.hfConfig.extra, [1]);
});

test('laser2.cvocab is compared with the dictionary of the checkpoint, which counts', async () => {
  assert.deepEqual((await openModel(published('laser2.cvocab'))).notes, []);
  const folder = published();
  const path = join(folder, 'laser2.cvocab');
  const lines = readFileSync(path, 'utf8').split('\n');
  writeFileSync(path, [lines[1], lines[0], ...lines.slice(2)].join('\n'));
  const model = await openModel(folder);
  assert.match(model.notes[0]!, /differ in 2 pieces: the checkpoint's ids are used/);
  assert.deepEqual(model.dictionary, (await openModel(LASER)).dictionary);
});

test('laser2.cvocab serves where the checkpoint has no dictionary', async () => {
  // In a pickle the key has its length in front: another name of the same length.
  const folder = patched('dictionary', 'dictionarx');
  await refusalOf(() => openModel(folder), 'FILE_NOT_FOUND', /laser2\.cvocab does not exist/);
  cpSync(join(LASER, 'laser2.cvocab'), join(folder, 'laser2.cvocab'));
  const model = await openModel(folder);
  assert.match(model.notes[0]!, /has no dictionary: laser2\.cvocab is used/);
  assert.deepEqual(new Map(model.dictionary), new Map((await openModel(LASER)).dictionary));
  const refused = async (text: string, message: RegExp) => {
    writeFileSync(join(folder, 'laser2.cvocab'), text);
    await refusalOf(() => openModel(folder), 'MODEL_INVALID', message);
  };
  await refused('a 1\nb\n', /"piece count" in line 2/);
  await refused('a 1\nb 1\na 1\n', /each piece once, received another in line 3/);
  await refused('<s> 1\n', /each piece once/);
  await refused(
    Array.from({ length: 77 }, (_, n) => `p${n} 1`).join('\n'),
    /ids below num_embeddings 80, received "p76": 80/,
  );
  writeFileSync(join(folder, 'laser2.cvocab'), Buffer.from([0xff, 0x20, 0x31]));
  await refusalOf(() => openModel(folder), 'MODEL_INVALID', /UTF-8/);
});

test('a checkpoint that is not whole is refused', async () => {
  await refusalOf(() => openModel(published('laser2.spm')), 'FILE_NOT_FOUND', /laser2\.spm does not exist/);
  const refused = (from: string, to: string, code: Parameters<typeof refusalOf>[1], message: RegExp) =>
    refusalOf(() => openModel(patched(from, to)), code, message);
  await refused('</s>', '<|s>', 'MODEL_INVALID', /the id 2 for <\/s>, received none/);
  await refused('params', 'parama', 'MODEL_INVALID', /params: expected object, received undefined/);
  await refused('num_embeddings', 'num_embeddingz', 'MODEL_INVALID', /num_embeddings: expected number/);
  await refused('model', 'modem', 'CHECKPOINT_INVALID', /holds no state dict/);
  await refused('weight_hh_l1', 'weight_hh_lx', 'MODEL_UNSUPPORTED', /lstm\.weight_hh_lx/);
  // The default size is the published model's.
  await refused('hidden_size', 'hidden_sizf', 'TENSOR_SHAPE_MISMATCH', /expected shape \[2048, 12\]/);
  const cut = published();
  const bytes = readFileSync(join(cut, 'laser2.pt'));
  writeFileSync(join(cut, 'laser2.pt'), bytes.subarray(0, bytes.length / 2));
  await refusalOf(() => openModel(cut), 'CHECKPOINT_INVALID', /laser2\.pt/);
});

test('lists without end in place of pieces and ids are refused', () => {
  let list: unknown[] = [];
  for (let depth = 0; depth < 1e5; depth++) list = [list];
  const entries: [unknown, unknown][] = [
    [list, 4],
    ['a', list],
    ['<s>', list],
  ];
  for (const entry of entries) {
    assert.throws(() => parseDictionary(new Map([entry]), 'laser2.pt', 80), {
      code: 'MODEL_INVALID',
      message: /received .*an object/,
    });
  }
});

test('a folder of our own that is not whole is refused', async () => {
  for (const file of ['dictionary.json', 'model.safetensors', 'sentencepiece.model']) {
    const folder = await own();
    rmSync(join(folder, file));
    await refusalOf(() => openModel(folder), 'FILE_NOT_FOUND', new RegExp(file.replace('.', '\\.')));
  }
  const refused = async (
    file: string,
    changes: Record<string, unknown>,
    code: Parameters<typeof refusalOf>[1],
    message: RegExp,
  ) => {
    const folder = await changed(file, changes);
    await refusalOf(() => openModel(folder), code, message);
  };
  await refused(
    'dictionary.json',
    { '</s>': undefined },
    'MODEL_INVALID',
    /the id 2 for <\/s>, received none/,
  );
  await refused('dictionary.json', { '<unk>': 4 }, 'MODEL_INVALID', /the id 3 for <unk>, received 4/);
  await refused('dictionary.json', { a: 80 }, 'MODEL_INVALID', /below num_embeddings 80, received "a": 80/);
  await refused('dictionary.json', { a: '5' }, 'MODEL_INVALID', /received "a": 5/);
  await refused('config.json', { num_layers: 0 }, 'MODEL_INVALID', /num_layers/);
  await refused('config.json', { dropout: 1 }, 'MODEL_INVALID', /dropout/);
  await refused('config.json', { hidden_size: 9 }, 'TENSOR_SHAPE_MISMATCH', /expected shape \[36, 12\]/);
  await refused('config.json', { num_embeddings: 81 }, 'TENSOR_SHAPE_MISMATCH', /expected shape \[81, 12\]/);
  await refused('config.json', { num_layers: 3 }, 'TENSOR_MISSING', /lstm\.weight_ih_l2/);
  await refused('config.json', { num_layers: 1 }, 'MODEL_UNSUPPORTED', /lstm\.\w+_l1/);
  await refused('config.json', { bidirectional: false }, 'MODEL_UNSUPPORTED', /_reverse/);
  const folder = await own();
  writeFileSync(join(folder, 'dictionary.json'), '[1]');
  await refusalOf(() => openModel(folder), 'MODEL_INVALID', /a dictionary/);
});

test('a head that LASER-2 does not have is not saved', async () => {
  const model = await openModel(LASER);
  const folder = join(scratch, 'never');
  const head: ModelDescription['head'] = [...model.head, { type: 'normalize' }];
  await refusalOf(
    () => saveModel({ ...model, head }, encoderOf(model), folder),
    'MODEL_UNSUPPORTED',
    /max pooling alone/,
  );
  assert.equal(existsSync(folder), false);
});
