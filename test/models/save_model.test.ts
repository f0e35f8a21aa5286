import assert from 'node:assert/strict';
import {
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import promises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { removeLeftovers } from '#xlembed/files/write_folder.js';
import { describeFreshModel, type ModelDescription, openModel } from '#xlembed/models/open_model.js';
import { readSafetensorsHeader } from '#xlembed/models/safetensors.js';
import { saveModel } from '#xlembed/models/save_model.js';
import { REFERENCE_MODELS } from './reference_models.js';
import { encoderOf, putFile, putJson, REFERENCE, readBytes, refusalOf, temporaryFolder } from './support.js';

const scratch = temporaryFolder();

const readJson = (...parts: string[]) => JSON.parse(readFileSync(join(...parts), 'utf8'));

/** What a description says beyond where its files lie. */
function content({ folder, tokenizerPath, sources, notes, hfConfig, ...rest }: ModelDescription) {
  const { dtype, torch_dtype, architectures, ...config } = hfConfig;
  const tensors = sources.map((source) => [
    source.name,
    source.shape,
    source.dtype,
    readBytes(source).toString('hex'),
  ]);
  return { ...rest, config, tensors };
}

for (const name of REFERENCE_MODELS) {
  test(`${name}: what is saved opens again as the same model`, async () => {
    const model = await openModel(join(REFERENCE, name));
    const folder = join(scratch, name);
    await saveModel(model, encoderOf(model), folder);
    const again = await openModel(folder);
    assert.deepEqual(content(again), content(model));
    assert.deepEqual(again.notes, []);
    assert.deepEqual(
      readFileSync(join(folder, 'tokenizer.json')),
      readFileSync(join(REFERENCE, name, 'tokenizer.json')),
    );
    assert.equal(
      readJson(folder, 'config.json').torch_dtype,
      name === 'roberta-float16' ? 'float16' : 'float32',
    );
    assert.ok(readdirSync(scratch).every((entry) => !entry.endsWith('.tmp')));
  });
}

test('the folder has the files and spellings of sentence-transformers 3 to 5', async () => {
  const model = await openModel(join(REFERENCE, 'labse-version-5'));
  const folder = join(scratch, 'spelling');
  await saveModel(model, encoderOf(model), folder);
  const files = readdirSync(folder, { recursive: true }).map(String).sort();
  assert.deepEqual(files, [
    '1_Pooling',
    '1_Pooling/config.json',
    '2_Dense',
    '2_Dense/config.json',
    '2_Dense/model.safetensors',
    '3_Normalize',
    'README.md',
    'config.json',
    'config_sentence_transformers.json',
    'model.safetensors',
    'modules.json',
    'sentence_bert_config.json',
    'tokenizer.json',
    'tokenizer_config.json',
  ]);
  const types = readJson(folder, 'modules.json').map((entry: { type: string }) => entry.type);
  assert.deepEqual(
    types,
    ['Transformer', 'Pooling', 'Dense', 'Normalize'].map((type) => `sentence_transformers.models.${type}`),
  );
  assert.equal(readJson(folder, '1_Pooling/config.json').pooling_mode_cls_token, true);
  assert.deepEqual(readJson(folder, 'sentence_bert_config.json'), {
    max_seq_length: 18,
    do_lower_case: false,
  });
  assert.deepEqual(readJson(folder, 'config.json').architectures, ['BertModel']);
  // Version 5 of transformers calls it TokenizersBackend, which version 4 does not open.
  assert.equal(
    readJson(REFERENCE, 'labse-version-5/tokenizer_config.json').tokenizer_class,
    'TokenizersBackend',
  );
  assert.equal(readJson(folder, 'tokenizer_config.json').tokenizer_class, 'PreTrainedTokenizerFast');
});

test("DistilBERT is saved under its own class's names", async () => {
  const model = await openModel(join(REFERENCE, 'distiluse-version-5'));
  const folder = join(scratch, 'distilbert');
  await saveModel(model, encoderOf(model), folder);
  assert.deepEqual(readJson(folder, 'config.json').architectures, ['DistilBertModel']);
  const names = readSafetensorsHeader(join(folder, 'model.safetensors')).tensors.map(({ name }) => name);
  const read = readSafetensorsHeader(join(REFERENCE, 'distiluse-version-5/model.safetensors')).tensors;
  const own = read.flatMap(({ name }) => /^distilbert\.(.+)/.exec(name)?.[1] ?? []);
  assert.deepEqual(names.toSorted(), own.toSorted());
});

test("a tokenizer that transformers' BertTokenizer would make another of gets the class that takes its file", async () => {
  const unigram = join(REFERENCE, 'xlm-roberta-sharded/tokenizer.json');
  for (const [n, given] of [{ model_max_length: 16 }, { tokenizer_class: 'BertTokenizer' }].entries()) {
    const original = join(scratch, `unigram-${n}`);
    cpSync(join(REFERENCE, 'bert-version-6'), original, { recursive: true });
    cpSync(unigram, join(original, 'tokenizer.json'));
    putJson(join(original, 'tokenizer_config.json'), given);
    const folder = join(scratch, `unigram-${n}-saved`);
    const model = await openModel(original);
    await saveModel(model, encoderOf(model), folder);
    const { tokenizer_class, pad_token } = readJson(folder, 'tokenizer_config.json');
    assert.deepEqual([tokenizer_class, pad_token], ['PreTrainedTokenizerFast', '<pad>']);
    assert.deepEqual(readFileSync(join(folder, 'tokenizer.json')), readFileSync(unigram));
  }
});

test("DistilBERT's tokenizer gives no token types, which its model does not take", async () => {
  const model = await openModel('test/reference/encoder/distilbert');
  const folder = join(scratch, 'distilbert-alone');
  await saveModel(model, encoderOf(model), folder);
  const { model_input_names } = readJson(folder, 'tokenizer_config.json');
  assert.deepEqual(model_input_names, ['input_ids', 'attention_mask']);
});

test('a tokenizer.json that stands alone gets the files that say which token is which', async () => {
  const expected = {
    bos_token: '<s>',
    eos_token: '</s>',
    unk_token: '<unk>',
    sep_token: '</s>',
    pad_token: '<pad>',
    cls_token: '<s>',
    mask_token: '<mask>',
  };
  const folder = join(scratch, 'xlm-roberta-sharded');
  assert.deepEqual(readJson(folder, 'special_tokens_map.json'), expected);
  assert.deepEqual(readJson(folder, 'tokenizer_config.json'), {
    tokenizer_class: 'PreTrainedTokenizerFast',
    model_max_length: 20,
    ...expected,
  });
});

test('the model card has front matter, architecture and use', async () => {
  const model = await openModel(join(REFERENCE, 'bert-version-6'));
  const folder = join(scratch, 'card');
  const card = {
    title: 'Library search',
    baseModel: 'a/b: c',
    languages: ['en', 'no'],
    sections: [{ heading: 'Training', body: '12 steps' }],
  };
  await saveModel(model, encoderOf(model), folder, { card });
  const readme = readFileSync(join(folder, 'README.md'), 'utf8');
  assert.match(
    readme,
    /^---\nlanguage:\n- "en"\n- "no"\nbase_model: "a\/b: c"\nlibrary_name: sentence-transformers\n/,
  );
  assert.match(readme, /---\n\n# Library search\n/);
  assert.match(readme, /## Training\n\n12 steps\n/);
  assert.match(readme, /maps texts to 8-dimensional vectors/);
  assert.match(readme, /prompt_name="query"\)[\s\S]*prompt_name="document"\)/);
});

test('the prompt of passages is written where sentence-transformers looks for it', async () => {
  const model = await openModel(join(REFERENCE, 'bert-version-6'));
  const saved = async (name: string, prompts: Record<string, string>) => {
    await saveModel({ ...model, prompts }, encoderOf(model), join(scratch, name));
    return readJson(scratch, name, 'config_sentence_transformers.json').prompts;
  };
  const e5 = { query: 'q: ', passage: 'p: ' };
  assert.deepEqual(await saved('passage', e5), { ...e5, document: 'p: ' });
  assert.deepEqual(await saved('empty', { ...e5, document: '' }), { ...e5, document: 'p: ' });
  assert.deepEqual(await saved('own', { ...e5, document: 'd: ' }), { ...e5, document: 'd: ' });
  assert.deepEqual(await saved('none', { query: 'q: ' }), { query: 'q: ' });
});

test('an existing folder stays, unless it may be overwritten', async () => {
  const model = await openModel(join(REFERENCE, 'bert-version-6'));
  const folder = join(scratch, 'existing');
  const old = putFile(join(folder, 'report.html'), 'old');
  await refusalOf(() => saveModel(model, encoderOf(model), folder), 'FILE_EXISTS', /existing exists/);
  assert.equal(readFileSync(old, 'utf8'), 'old');
  await saveModel(model, encoderOf(model), folder, { overwrite: true });
  assert.equal(existsSync(old), false);
  assert.equal((await openModel(folder)).sources.length, model.sources.length);
});

test('killed between its two renames, a save leaves the old folder, which comes back', async () => {
  const model = await openModel(join(REFERENCE, 'bert-version-6'));
  const parent = temporaryFolder();
  const folder = join(parent, 'tuned');
  const away = join(parent, '.tuned.0123456789ab.old');
  await saveModel(model, encoderOf(model), folder);

  renameSync(folder, away);
  assert.deepEqual(content(await openModel(folder)), content(model));
  assert.deepEqual(readdirSync(parent), ['tuned']);

  renameSync(folder, away);
  await refusalOf(() => saveModel(model, encoderOf(model), folder), 'FILE_EXISTS', /tuned exists/);
  renameSync(folder, away);
  await removeLeftovers(parent);
  assert.deepEqual(readdirSync(parent), ['tuned']);

  // A kill behind the second rename: what is replaced goes, with the next.
  cpSync(folder, away, { recursive: true });
  await saveModel(model, encoderOf(model), folder, { overwrite: true });
  assert.deepEqual(readdirSync(parent), ['tuned']);
});

test('a reader that puts the old folder back between the two renames ends no save', async (context) => {
  const model = await openModel(join(REFERENCE, 'bert-version-6'));
  const parent = temporaryFolder();
  const folder = join(parent, 'tuned');
  await saveModel(model, encoderOf(model), folder);
  writeFileSync(join(folder, 'README.md'), 'old');
  const { rename } = promises;
  let putBack = 0;
  const faked = context.mock.method(promises, 'rename', async (from: string, to: string) => {
    await rename(from, to);
    if (to.endsWith('.old') && putBack++ === 0) await rename(to, from);
  });
  syncBuiltinESMExports();
  try {
    await saveModel(model, encoderOf(model), folder, { overwrite: true });
  } finally {
    faked.mock.restore();
    syncBuiltinESMExports();
  }
  assert.equal(putBack, 2);
  assert.notEqual(readFileSync(join(folder, 'README.md'), 'utf8'), 'old');
  assert.deepEqual(readdirSync(parent), ['tuned']);
});

test('a link that leads nowhere is no free name', async () => {
  const model = await openModel(join(REFERENCE, 'bert-version-6'));
  const link = join(temporaryFolder(), 'tuned');
  symlinkSync('nowhere', link);
  for (const overwrite of [false, true])
    await refusalOf(
      () => saveModel(model, encoderOf(model), link, { overwrite }),
      'FILE_EXISTS',
      /tuned exists/,
    );
});

test('a folder that holds anything beside a model is not overwritten', async () => {
  const model = await openModel(join(REFERENCE, 'bert-version-6'));
  const thesis = putFile(join(scratch, 'work/thesis.txt'), 'mine');
  const save = () => saveModel(model, encoderOf(model), join(scratch, 'work'), { overwrite: true });
  await refusalOf(save, 'FILE_EXISTS', /holds thesis\.txt, which is no file of a model/);
  assert.deepEqual(readdirSync(join(scratch, 'work')), ['thesis.txt']);
  const overFile = () => saveModel(model, encoderOf(model), thesis, { overwrite: true });
  await refusalOf(overFile, 'FILE_EXISTS', /no folder/);
  assert.equal(readFileSync(thesis, 'utf8'), 'mine');
});

test('a model can be saved over the folder it was opened from', async () => {
  const folder = join(scratch, 'itself');
  cpSync(join(REFERENCE, 'bert-version-6'), folder, { recursive: true });
  rmSync(join(folder, 'expected.json'));
  const model = await openModel(folder);
  const before = content(model);
  await saveModel(model, encoderOf(model), folder, { overwrite: true });
  assert.deepEqual(content(await openModel(folder)), before);
});

test('a failed write leaves the old folder and nothing else', async () => {
  const model = await openModel(join(REFERENCE, 'labse-version-5'));
  const parent = join(scratch, 'failing');
  const old = putFile(join(parent, 'model/README.md'), 'old');
  const encoder = encoderOf(model);
  let files = 0;
  const failing = {
    ...encoder,
    writeParameters: async (targets: Parameters<typeof encoder.writeParameters>[0]) => {
      if (++files === 2) throw new Error('the disk is full');
      await encoder.writeParameters(targets);
    },
  };
  const save = () => saveModel(model, failing, join(parent, 'model'), { overwrite: true });
  await refusalOf(save, 'FILE_WRITE_FAILED', /cannot be written: the disk is full/);
  assert.deepEqual(readdirSync(parent), ['model']);
  assert.equal(readFileSync(old, 'utf8'), 'old');
});

test('parameters of another model are refused before anything is written', async () => {
  const model = await openModel(join(REFERENCE, 'bert-version-6'));
  const all = encoderOf(model).parameters();
  const save = (parameters: typeof all) => () =>
    saveModel(model, { ...encoderOf(model), parameters: () => parameters }, join(scratch, 'never'));
  await refusalOf(save(all.slice(1)), 'MODEL_INVALID', /no parameter embeddings\.word_embeddings\.weight/);
  const extra = { name: 'lora.a', shape: [1], dtype: 'float32' as const };
  await refusalOf(save([...all, extra]), 'MODEL_INVALID', /a parameter lora\.a that the model does not have/);
  const reshaped = [{ ...all[0]!, shape: [8, 57] }, ...all.slice(1)];
  await refusalOf(save(reshaped), 'MODEL_INVALID', /of shape \[8, 57\], expected \[57, 8\]/);
  assert.equal(existsSync(join(scratch, 'never')), false);
});

test('a fresh model is saved with the element type asked for', async () => {
  const source = join(scratch, 'fresh-source');
  cpSync(join(REFERENCE, 'xlm-roberta-sharded/tokenizer.json'), join(source, 'tokenizer.json'));
  cpSync(join(REFERENCE, 'xlm-roberta-sharded/config.json'), join(source, 'config.json'));
  const fresh = describeFreshModel({
    configPath: join(source, 'config.json'),
    tokenizerPath: join(source, 'tokenizer.json'),
    prompts: { query: 'q: ', passage: 'p: ' },
    maxTokens: 12,
  });
  const trained = { ...fresh, sources: (await openModel(join(REFERENCE, 'xlm-roberta-sharded'))).sources };
  const written: string[] = [];
  const encoder = {
    ...encoderOf(trained),
    writeParameters: async (targets: { name: string; dtype: string }[]) => {
      written.push(...targets.map(({ dtype }) => dtype));
    },
  };
  await saveModel(fresh, encoder, join(scratch, 'fresh'), { dtype: 'bfloat16' });
  const model = await openModel(join(scratch, 'fresh'));
  assert.deepEqual([model.maxTokens, model.prompts], [12, { query: 'q: ', passage: 'p: ', document: 'p: ' }]);
  assert.deepEqual(new Set([...written, ...model.sources.map(({ dtype }) => dtype)]), new Set(['bfloat16']));
});

test('tokenizers of both post-processor spellings name their special tokens', async () => {
  const source = join(scratch, 'bert-processing');
  const model = await openModel(join(REFERENCE, 'bert-version-6'));
  const raw = readJson(model.tokenizerPath);
  raw.post_processor = { type: 'BertProcessing', sep: ['[SEP]', 3], cls: ['[CLS]', 2] };
  const tokenizerPath = putJson(join(source, 'tokenizer.json'), raw);
  await saveModel({ ...model, tokenizerPath }, encoderOf(model), join(scratch, 'bert-processed'));
  assert.deepEqual(readJson(scratch, 'bert-processed/special_tokens_map.json'), {
    unk_token: '[UNK]',
    sep_token: '[SEP]',
    pad_token: '[PAD]',
    cls_token: '[CLS]',
    mask_token: '[MASK]',
  });
  writeFileSync(tokenizerPath, '{"model": 3}');
  const save = () => saveModel({ ...model, tokenizerPath }, encoderOf(model), join(scratch, 'never'));
  await refusalOf(save, 'TOKENIZER_INVALID', /expected a model in .*tokenizer\.json/);
  rmSync(tokenizerPath);
  await refusalOf(save, 'FILE_NOT_FOUND', /no tokenizer\.json/);
});

test('tokens that only a file beside the tokenizer names are saved with it', async () => {
  const model = await openModel(join(REFERENCE, 'bert-version-6'));
  const raw = readJson(model.tokenizerPath);
  const tokenizerPath = putJson(join(scratch, 'added/tokenizer.json'), raw);
  putJson(join(scratch, 'added/added_tokens.json'), { '[URL]': 57 });
  await saveModel({ ...model, tokenizerPath }, encoderOf(model), join(scratch, 'with-added'));
  const { id, content } = readJson(scratch, 'with-added/tokenizer.json').added_tokens.at(-1);
  assert.deepEqual([id, content], [57, '[URL]']);
});
