import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import type { Console } from '#xlembed/cli/console.js';
import { evaluateEncoder } from '#xlembed/cli/evaluate_encoder.js';
import { modelIdentity } from '#xlembed/cli/model_identity.js';
import { Encoder } from '#xlembed/encoding/encoder.js';
import { recordsTask } from '#xlembed/evaluation/tasks/records_task.js';
import { changedModel } from '../models/support.js';
import { temporaryFolder, xlembed } from './run.js';

const folder = temporaryFolder();
const at = (name: string) => join(folder, name);
const data = 'test/evaluation/tasks/fixtures/xquad_r';
const model = (name: string) => ['evaluate', '--model', `test/reference/models/${name}`];

test('an evaluation leaves its result, MTEB’s file and a cache; a second one embeds nothing and says the same', () => {
  const args = (output: string) => [
    ...model('labse-version-5'),
    ...['--task', 'xquad-r', '--data', data, '--cache', at('cache'), '--output', at(output), '--json'],
  ];
  const first = xlembed(...args('a.json.gz'), '--mteb', at('mteb'));
  assert.equal(first.status, 0, first.stderr);
  const kept = readdirSync(at('cache/embeddings'));
  assert.equal(kept.length, 6);
  const stored = JSON.parse(gunzipSync(readFileSync(at('a.json.gz'))).toString());
  assert.equal(stored.grid.length, 9);
  assert.deepEqual(Object.keys(stored.settings.prompts), ['query', 'passage']);
  assert.equal(JSON.parse(first.stdout).grid[0].queryScores, undefined);
  assert.ok(stored.grid[0].queryScores.scores['nDCG@10'].length > 0);
  const place = join(at('mteb/results'), 'local__labse-version-5/no_revision_available');
  assert.deepEqual(readdirSync(place).sort(), ['model_meta.json', 'xquad_r.json']);
  const second = xlembed(...args('b.json.gz'), '--mteb', at('mteb'));
  assert.equal(second.status, 0, second.stderr);
  assert.deepEqual(readdirSync(at('cache/embeddings')), kept);
  const { measures } = JSON.parse(second.stdout);
  for (const [name, value] of Object.entries(measures)) assert.equal(value, stored.measures[name], name);
});

test('a model that says dot is measured by inner product, every other by cosine; prompts reach the encoder', async () => {
  const record = { id: 'r', query: { en: 'a' }, positive: { en: 'b' } };
  const task = recordsTask('one', [record, { ...record, id: 's' }], ['en']);
  const console = { progress: () => ({ update() {}, stop() {} }) } as unknown as Console;
  for (const similarity of ['dot', 'cosine', 'euclidean'] as const) {
    const asked: unknown[] = [];
    const encode = async ({ length }: string[], options: unknown) => {
      asked.push(options);
      return { data: new Float32Array(2 * length).fill(1), rows: length, dimensions: 2 };
    };
    const encoder = { model: { similarity }, device: 'cpu', encode } as unknown as Encoder;
    const result = await evaluateEncoder(encoder, task, console);
    assert.equal(result.similarity, similarity === 'dot' ? 'dot' : 'cosine');
    await evaluateEncoder(encoder, task, console, { prompts: { query: 'q: ', passage: '' } });
    assert.deepEqual(asked, [
      ...[{ role: 'query' }, { role: 'passage' }],
      ...[{ prompt: 'q: ' }, { prompt: '' }],
    ]);
  }
});

test('measures that were chosen are those that are shown', () => {
  const args = ['--task', 'xquad-r', '--data', data, '--cache', at('cache'), '--measures', 'nDCG@5,R@3'];
  const { status, stdout, stderr } = xlembed(...model('labse-version-5'), ...args);
  assert.equal(status, 0, stderr);
  assert.match(
    stdout,
    /^ +monolingual +cross-lingual +multilingual\nnDCG@5( +0\.\d{4}){3}\nR@3( +0\.\d{4}){3}\n/m,
  );
});

test('prompts can be given; with others, embeddings in the cache are others', () => {
  const prompts = ['--query-prompt', 'query: ', '--passage-prompt', ''];
  const task = ['--task', 'xquad-r', '--data', data, '--cache', at('cache')];
  const { status, stdout, stderr } = xlembed(...model('labse-version-5'), ...task, ...prompts, '--json');
  assert.equal(status, 0, stderr);
  assert.deepEqual(JSON.parse(stdout).settings.prompts, { query: 'query: ', passage: '' });
  assert.equal(readdirSync(at('cache/embeddings')).length, 12);
});

test('what a kind of task would pass over is refused, and the settings say which prompt its texts had', () => {
  const pairs = { sentence1: 'a', sentence2: 'b c', score: 1 };
  mkdirSync(at('sts'));
  const lines = [pairs, { ...pairs, sentence2: 'd', score: 2 }].map((pair) => `${JSON.stringify(pair)}\n`);
  writeFileSync(at('sts/de.jsonl'), lines.join(''));
  const sts = [...model('labse-version-5'), '--task', 'sts', '--data', at('sts')];
  const { stdout } = xlembed(...sts, '--json');
  assert.deepEqual(JSON.parse(stdout).settings.prompts, { default: '' });
  const xquad = [...model('labse-version-5'), '--task', 'xquad-r', '--data', data];
  for (const args of [
    [...sts, '--query-prompt', 'query: '],
    [...sts, '--passage-prompt', ''],
    [...sts, '--measures', 'AP'],
    [...sts, '--all-pairs'],
    [...xquad, '--all-pairs'],
  ]) {
    const { status, stderr } = xlembed(...args);
    assert.equal(status, 1);
    assert.match(stderr, /INVALID_ARGUMENT: expected a (retrieval|bitext) task for --/);
  }
});

test('a result that MTEB’s file cannot hold is shown all the same', () => {
  const pair = `${JSON.stringify({ sentence1: 'a', sentence2: 'b', score: 1 })}\n`;
  mkdirSync(at('equal'));
  writeFileSync(at('equal/de.jsonl'), pair + pair);
  const args = ['--task', 'sts', '--data', at('equal'), '--mteb', at('mteb')];
  const { status, stdout, stderr } = xlembed(...model('labse-version-5'), ...args);
  assert.equal(status, 1);
  assert.match(stdout, /^sts: 1 languages, 2 queries/);
  assert.match(stderr, /Spearman among them for measures of de,.*\n.*all grades .* are equal/);
});

test('the same weights are another model with another configuration', async () => {
  const identity = async (folder: string, change: (model: Encoder['model']) => void = () => {}) => {
    const encoder = await Encoder.load(folder, { tokenizerThreads: 1 });
    change(encoder.model);
    const found = await modelIdentity(encoder, { query: '', passage: '' });
    await encoder.dispose();
    return JSON.stringify(found);
  };
  const bert = 'test/reference/models/bert-version-6';
  const plain = await identity(bert);
  assert.equal(await identity(bert), plain);
  const others = [
    await identity(changedModel('bert-version-6', 'config.json', { layer_norm_eps: 0.1 })),
    await identity(changedModel('bert-version-6', 'config.json', { num_attention_heads: 4 })),
    await identity(changedModel('bert-version-6', 'sentence_bert_config.json', { do_lower_case: true })),
    await identity(changedModel('bert-version-6', 'tokenizer_config.json', { do_lower_case: false })),
    await identity(bert, (changed) => {
      changed.defaultPrompt = 'query';
    }),
  ];
  assert.equal(new Set([plain, ...others]).size, 6);
  const laser = 'test/reference/laser/model';
  const swapped = await identity(laser, (changed) => {
    changed.dictionary = new Map([...changed.dictionary!].reverse());
  });
  assert.notEqual(await identity(laser), swapped);
});

test('results are compared: a table, a report and CSV beside it', () => {
  const other = xlembed(
    ...model('roberta-float16'),
    '--task',
    'xquad-r',
    '--data',
    data,
    '--output',
    at('c.json'),
  );
  assert.equal(other.status, 0, other.stderr);
  const options = ['--resamples', '200', '--output', at('report')];
  const { status, stdout, stderr } = xlembed('compare', at('a.json.gz'), at('c.json'), ...options);
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^xquad_r, macro-averages over settings/);
  assert.match(stdout, /monolingual AP +a +0\.\d{4} +0\.\d{4} \.\. 0\.\d{4}\n +c +0\.\d{4}/);
  assert.deepEqual(readdirSync(at('report')).sort(), [
    'comparison.csv',
    'language-shares.csv',
    'report.html',
    'settings.csv',
  ]);
  assert.match(readFileSync(join(at('report'), 'report.html'), 'utf8'), /xlembed compare .* --resamples 200/);
  const { rows } = JSON.parse(
    xlembed('compare', at('a.json.gz'), at('a.json.gz'), '--json', '--resamples', '50').stdout,
  );
  assert.equal(rows[0].models[1].against.test.pValue, 1);
});

test('a report of which one file cannot be written leaves those of before', () => {
  const report = at('blocked');
  mkdirSync(join(report, 'language-shares.csv'), { recursive: true });
  writeFileSync(join(report, 'report.html'), 'before');
  const options = ['--resamples', '10', '--output', report];
  const { status, stderr } = xlembed('compare', at('a.json.gz'), ...options);
  assert.equal(status, 1);
  assert.match(stderr, /FILE_WRITE_FAILED: .*language-shares\.csv/);
  assert.deepEqual(readdirSync(report).sort(), ['language-shares.csv', 'report.html']);
  assert.equal(readFileSync(join(report, 'report.html'), 'utf8'), 'before');
});

test('what is no result, or one on another task, is refused', () => {
  writeFileSync(
    at('other.json'),
    JSON.stringify({ ...JSON.parse(gunzipSync(readFileSync(at('a.json.gz'))).toString()), task: 'mlqa_r' }),
  );
  writeFileSync(at('broken.json'), '{"task": 1}');
  for (const [paths, code] of [
    [['other.json'], 'INVALID_ARGUMENT'],
    [['broken.json'], 'MALFORMED_FILE'],
    [['none.json'], 'FILE_NOT_FOUND'],
  ] as const) {
    const { status, stderr } = xlembed('compare', at('a.json.gz'), ...paths.map(at));
    assert.equal(status, 1);
    assert.match(stderr, new RegExp(`^xlembed: ${code}: `, 'm'));
  }
});

test('places that cannot be written are refused before anything is embedded', () => {
  writeFileSync(at('file'), '');
  for (const option of ['--output', '--mteb', '--cache']) {
    const args = ['--task', 'xquad-r', '--data', data, option, join(at('file'), 'x/y.json')];
    const { status, stderr } = xlembed(...model('labse-version-5'), ...args);
    assert.equal(status, 1, stderr);
    assert.match(stderr, /FILE_WRITE_FAILED: .*file/);
    if (option !== '--cache') assert.doesNotMatch(stderr, /settings/);
  }
  const compared = xlembed('compare', at('a.json.gz'), '--output', join(at('file'), 'report'));
  assert.match(compared.stderr, /FILE_WRITE_FAILED: .*file/);
});

test('missing data is refused with the command that fetches it, before anything is written', () => {
  mkdirSync(at('empty'));
  const { status, stderr } = xlembed(
    ...model('labse-version-5'),
    '--task',
    'tatoeba',
    '--data',
    at('empty'),
    '--output',
    at('never.json'),
  );
  assert.equal(status, 1);
  assert.match(
    stderr,
    /TASK_DATA_INVALID[\s\S]*git clone --depth 1 https:\/\/github\.com\/facebookresearch\/LASER/,
  );
  assert.equal(existsSync(at('never.json')), false);
});
