import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadNative } from '#xlembed/native.js';
import { temporaryFolder, xlembed } from './run.js';

const MODEL = 'test/reference/encoder/xlm-roberta';
const folder = temporaryFolder();
const at = (name: string) => join(folder, name);
const RECORD = '{"id": "a", "query": {"en": "w9"}, "positive": {"en": "w8"}}';
const SECOND = '{"id": "b", "query": {"en": "w10"}, "positive": {"en": "w11"}}';

function write(name: string, text: string | Buffer): string {
  writeFileSync(at(name), text);
  return at(name);
}

/** Copies the model with one file changed. */
function changedModel(name: string, file: string, change: (text: string) => string): string {
  mkdirSync(at(name));
  for (const each of ['config.json', 'model.safetensors', 'tokenizer.json']) {
    copyFileSync(join(MODEL, each), join(at(name), each));
  }
  writeFileSync(join(at(name), file), change(readFileSync(join(MODEL, file), 'utf8')));
  return at(name);
}

/** The program ends with exit code 1, the code, what the message must say and a remedy; no stack trace. */
function refused(args: string[], code: string, says: RegExp): void {
  const { status, stderr, stdout } = xlembed(...args, '--json');
  assert.equal(status, 1, stderr);
  assert.match(stderr, new RegExp(`^xlembed: ${code}: `, 'm'));
  assert.match(stderr, says);
  assert.doesNotMatch(stderr, /^ +at /m);
  assert.equal(JSON.parse(stdout.trim().split('\n').at(-1)!).error.code, code);
}

const train = (data: string, ...more: string[]) => [
  'train',
  ...['--model', MODEL, '--data', data, '--output', at('out'), '--batch-size', '2', '--steps', '2', ...more],
];
const encode = (input: string, model = MODEL) => [
  'encode',
  '--model',
  model,
  '--input',
  input,
  '--output',
  at('out'),
];

test('files that are missing or wrong', () => {
  refused(train(at('nowhere.jsonl')), 'FILE_NOT_FOUND', /nowhere\.jsonl/);
  refused(train(write('line.jsonl', `${RECORD}\n{"id": `)), 'MALFORMED_LINE', /line\.jsonl.*2/);
  refused(
    train(write('field.jsonl', `${RECORD}\n{"id": "b", "query": {"en": 5}}`)),
    'MALFORMED_LINE',
    /field\.jsonl.*2/,
  );
  refused(train(write('empty.jsonl', '\n')), 'EMPTY_DATASET', /empty\.jsonl/);
  refused(train(write('blank.jsonl', `${RECORD}\n{"query": "", "positive": "w9"}`)), 'MALFORMED_LINE', /2/);
  refused(encode(at('nowhere.txt')), 'FILE_NOT_FOUND', /nowhere\.txt/);
  refused(encode(join(write('file.txt', 'w9\n'), 'a.txt')), 'FILE_NOT_FOUND', /file\.txt/);
  refused(encode(`${'a'.repeat(300)}.txt`), 'FILE_READ_FAILED', /name too long/);
  refused([...encode(at('file.txt')).slice(0, -1), at('file.txt')], 'FILE_EXISTS', /is no folder/);
  refused(encode(write('texts.doc', 'a')), 'INVALID_ARGUMENT', /texts\.doc/);
  refused(
    ['search', '--model', MODEL, '--index', at('nowhere'), '--query', 'a'],
    'FILE_NOT_FOUND',
    /no embeddings in .*nowhere/,
  );
  refused(train(folder), 'FILE_READ_FAILED', /is a folder/);
  refused(['evaluate', '--model', MODEL, '--task', 'squad', '--data', folder], 'INVALID_ARGUMENT', /xquad-r/);
  refused(
    ['evaluate', '--model', MODEL, '--task', 'xquad-r', '--data', at('nowhere')],
    'FILE_NOT_FOUND',
    /nowhere/,
  );
  assert.ok(!existsSync(at('out')), 'nothing half-written');
});

test('an index that cannot be made of the embeddings is refused before they are made', () => {
  const texts = write('indexed.txt', 'w9\n');
  refused([...encode(texts), '--faiss', 'IVF0,Flat'], 'INVALID_ARGUMENT', /factory/);
  refused([...encode(texts), '--faiss', 'Flat', '--duplicates', 'count'], 'INVALID_ARGUMENT', /--duplicates/);
  if (loadNative().info().faiss !== '')
    refused([...encode(texts), '--faiss', 'PQ32'], 'INVALID_ARGUMENT', /no index of PQ32.*dimension/);
  assert.ok(!existsSync(at('out')));
});

test('what the demo cannot replace is refused before it trains', () => {
  mkdirSync(at('demo/model'), { recursive: true });
  write('demo/model/thesis.txt', 'mine');
  refused(['demo', '--output', at('demo')], 'FILE_EXISTS', /holds thesis\.txt/);
  assert.ok(!existsSync(at('demo/start')));
});

test('a table inside of the embeddings, which could not be overwritten then, is refused', () => {
  const texts = write('tabled.txt', 'w9\n');
  for (const place of [at('out'), join(at('out'), 'tables')])
    refused(
      [...encode(texts), '--lancedb', place],
      'INVALID_ARGUMENT',
      /--lancedb.*outside|outside.*--lancedb/,
    );
});

test('models that do not fit together', () => {
  const texts = write('texts.txt', 'w9\n');
  refused(encode(texts, at('nowhere')), 'FILE_NOT_FOUND', /nowhere/);
  const narrower = changedModel('narrower', 'config.json', (text) =>
    text.replace('"hidden_size": 24', '"hidden_size": 48'),
  );
  refused(encode(texts, narrower), 'TENSOR_SHAPE_MISMATCH', /48/);
  const smaller = changedModel('smaller', 'tokenizer.json', (text) =>
    text.replace('"w96":96', '"w96":96,"w97":97').replace('"w96": 96', '"w96": 96, "w97": 97'),
  );
  refused(encode(texts, smaller), 'VOCABULARY_MISMATCH', /98.*97/);
  const broken = changedModel('broken', 'tokenizer.json', () => '{');
  refused(encode(texts, broken), 'TOKENIZER_INVALID', /tokenizer\.json/);
  const other = changedModel('other', 'config.json', (text) => text.replace('xlm-roberta', 't5'));
  refused(encode(texts, other), 'MODEL_UNSUPPORTED', /model_type/);
});

test('options that cannot be', () => {
  const data = write('two.jsonl', `${RECORD}\n${SECOND}\n`);
  refused(train(data, '--sampler', 'cross_lingual'), 'SAMPLER_IMPOSSIBLE', /cross_lingual/);
  refused(train(data, '--alpha', '1.5'), 'INVALID_ARGUMENT', /alpha.*1\.5/);
  refused(train(data, '--device', 'cuda:7'), 'DEVICE_UNAVAILABLE', /cuda:7/);
  refused(['train', '--data', data, '--output', at('out')], 'INVALID_ARGUMENT', /--model/);
  mkdirSync(at('there'), { recursive: true });
  refused(['train', '--model', MODEL, '--data', data, '--output', at('there')], 'FILE_EXISTS', /there/);
});

test('what the first step would refuse is refused before it, and the corrected command starts', () => {
  const data = write('three.jsonl', `${RECORD}\n${SECOND}\n`);
  const command = (...more: string[]) =>
    train(data, '--sampler', 'monolingual', '--output', at('late'), ...more);
  refused(command('--warmup-steps', '20'), 'INVALID_ARGUMENT', /from 0 to 2 for warmupSteps, received 20/);
  refused(
    command('--matryoshka', '24,64'),
    'INVALID_ARGUMENT',
    /from 1 to 24 for matryoshkaSizes, received 64/,
  );
  refused(
    command('--embedding-layer', '9'),
    'INVALID_ARGUMENT',
    /from 0 to 2 for embeddingLayer, received 9/,
  );
  assert.ok(!existsSync(at('late.partial')));
  // Left by a run that ended before its first checkpoint.
  mkdirSync(join(at('late.partial'), 'checkpoints'), { recursive: true });
  const { status, stderr } = xlembed(...command('--matryoshka', '24,8'));
  assert.equal(status, 0, stderr);
});

test('malformed lines can be left out and are counted; a hold-out that is nowhere is named', () => {
  const data = write('some.jsonl', `${RECORD}\nnot json\n${SECOND}\n`);
  const { status, stderr } = xlembed(
    ...train(data, '--sampler', 'monolingual', '--skip-malformed', '--overwrite', '--hold-out', 'xx'),
  );
  assert.equal(status, 0, stderr);
  assert.match(stderr, /1 malformed/);
  assert.match(stderr, /note: nothing is in xx, which is held out: the data has en/);
});

test('wrong usage: an option of training without what it needs', () => {
  const orphans = [
    [['--lora-alpha', '8'], '--lora-rank'],
    [['--code-switch', '0.3'], '--lexicon'],
    [['--switch-queries-to', 'de'], '--lexicon'],
    [['--loss', 'triplet', '--symmetric'], '--loss info_nce'],
    [['--loss', 'triplet', '--learn-temperature', '100'], '--loss info_nce'],
    [['--margin', '0.2'], '--loss triplet'],
    [['--pooling', 'first'], '--config'],
    [['--eval-task', 'xquad-r'], '--eval-data'],
    [['--watch', 'loss'], '--eval-records or --eval-task'],
  ] as const;
  for (const [flags, needs] of orphans) {
    const { status, stderr } = xlembed(...train(at('nowhere.jsonl'), ...flags));
    assert.equal(status, 2, stderr);
    assert.ok(stderr.includes(`needs ${needs}\n`), stderr.slice(0, 200));
  }
});

test('wrong usage: a third share of switched words, which no side has', () => {
  const { status, stderr } = xlembed(...train(at('nowhere.jsonl'), '--code-switch', '0.3,0.5,0.7'));
  assert.equal(status, 2, stderr);
  assert.match(stderr, /Expected one share, or two such as 0\.3,0\.5/);
});

test('wrong usage: exit code 2 and the way to the help', () => {
  const { status, stderr } = xlembed('train', '--steps', 'many');
  assert.equal(status, 2);
  assert.match(stderr, /Expected a whole number/);
  const search = ['search', '--model', MODEL, '--index', 'index', '--query', 'w9'];
  const typo = xlembed(...search, '--topk', '3')
    .stderr.trim()
    .split('\n');
  assert.match(typo[0]!, /unknown option '--topk'/);
  assert.equal(typo.at(-1), '(xlembed search --help shows the options)');
  assert.ok(typo.length <= 4, typo.join('\n'));
  assert.equal(xlembed('fly').status, 2);
  assert.equal(xlembed('encode', '--model', MODEL).status, 2);
  const help = xlembed('--help');
  assert.equal(help.status, 0);
  for (const verb of ['demo', 'train', 'encode', 'search', 'evaluate', 'doctor', 'setup']) {
    assert.match(help.stdout, new RegExp(`^  ${verb} `, 'm'));
  }
});

test('help shows defaults as they would be given', () => {
  for (const command of [['train'], ['mine'], ['search'], ['bench', 'encode']]) {
    assert.doesNotMatch(xlembed(...command, '--help').stdout, /default:\s+[[{]/);
  }
  assert.match(xlembed('mine', '--help').stdout, /default:\s+10-100\)/);
});

test('the help of setup names the environment variables that it reads', () => {
  const { status, stdout } = xlembed('setup', '--help');
  assert.equal(status, 0);
  for (const name of ['LIBTORCH', 'XLEMBED_CACHE', 'XLEMBED_CUDA', 'XLEMBED_FAISS', 'CUDACXX']) {
    assert.match(stdout, new RegExp(`\\b${name}\\b`));
  }
});
