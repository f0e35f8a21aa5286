import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { temporaryFolder, xlembed } from './run.js';

const MODEL = 'test/reference/encoder/xlm-roberta';
const folder = temporaryFolder();
const at = (name: string) => join(folder, name);
const lines = (values: unknown[]) => `${values.map((value) => JSON.stringify(value)).join('\n')}\n`;
const json = (path: string) => JSON.parse(readFileSync(path, 'utf8'));

const parallel = Array.from({ length: 20 }, (_, n) => ({
  id: `p${n}`,
  query: { en: `w${10 + n}`, de: `w${30 + n}` },
  positive: { en: `w${50 + n} w9`, de: `w${70 + n} w8` },
}));
const flat = Array.from({ length: 10 }, (_, n) => ({
  query: `w${20 + n} w6`,
  positive: `w${60 + n} w5`,
  negatives: [`w${61 + n}`],
  query_lang: 'en',
  positive_lang: n % 2 ? 'de' : 'en',
}));
writeFileSync(at('parallel.jsonl'), lines(parallel));
writeFileSync(at('flat.jsonl.gz'), gzipSync(lines(flat)));

const FRESH = ['--config', `${MODEL}/config.json`, '--tokenizer', `${MODEL}/tokenizer.json`];
const SMALL = ['--batch-size', '8', '--steps', '12', '--seed', '3'];

test('train from scratch, encode, search, evaluate', () => {
  const model = at('trained');
  const data = ['--data', at('parallel.jsonl'), at('flat.jsonl.gz')];
  const sampler = ['--sampler', 'hybrid', '--alpha', '0.5'];
  const trained = xlembed('train', ...FRESH, ...data, ...sampler, ...SMALL, '--output', model, '--json');
  assert.equal(trained.status, 0, trained.stderr);
  const result = JSON.parse(trained.stdout);
  assert.deepEqual([result.steps, result.interrupted, result.output], [12, false, model]);
  // Every default is said at the start and stored beside the result.
  for (const name of ['learningRate', 'temperature', 'languageWeights', 'warmupSteps', 'queryPrompt']) {
    assert.match(trained.stderr, new RegExp(`^ +${name} `, 'm'));
    assert.ok(name in json(join(model, 'training.json')).settings);
  }
  assert.equal(readFileSync(join(model, 'training_log.jsonl'), 'utf8').trim().split('\n').length, 12);
  assert.equal(json(join(model, 'config_sentence_transformers.json')).prompts.query, 'Query: ');

  writeFileSync(at('corpus.jsonl'), lines(parallel.map(({ id, positive }) => ({ id, text: positive.en }))));
  const corpus = ['--model', model, '--input', at('corpus.jsonl'), '--output', at('index')];
  const encoded = xlembed('encode', ...corpus, '--format', 'npy', '--role', 'passage', '--json');
  assert.equal(encoded.status, 0, encoded.stderr);
  assert.deepEqual([JSON.parse(encoded.stdout).rows, JSON.parse(encoded.stdout).prompt], [20, 'Passage: ']);
  const npy = readFileSync(join(at('index'), 'shard-00000.npy'));
  assert.match(npy.toString('latin1', 0, 128), /'descr': '<f4'.*\(20, 24\)/);
  assert.equal(npy.length, 128 + 20 * 24 * 4);
  assert.equal(xlembed('encode', ...corpus).status, 1, 'an existing folder is not replaced');

  const found = xlembed(
    'search',
    '--model',
    model,
    '--index',
    at('index'),
    '--query',
    'w12',
    '-k',
    '3',
    '--json',
  );
  assert.equal(found.status, 0, found.stderr);
  const [{ query, hits }] = JSON.parse(found.stdout);
  assert.deepEqual([query, hits.length, hits[0].rank], ['w12', 3, 1]);
  assert.ok(hits[0].score >= hits[1].score && hits[1].score >= hits[2].score);
  assert.equal(hits[0].text, parallel.find(({ id }) => id === hits[0].id)!.positive.en);

  const xquad = ['--task', 'xquad-r', '--data', 'test/evaluation/tasks/fixtures/xquad_r'];
  const evaluated = xlembed('evaluate', '--model', model, ...xquad, '--output', at('results/xquad.json'));
  assert.equal(evaluated.status, 0, evaluated.stderr);
  assert.match(evaluated.stdout, /monolingual +0\.\d{4}/);
  const stored = json(at('results/xquad.json'));
  assert.equal(stored.grid.length, 9);
  assert.ok(stored.measures.multilingual_map > 0 && stored.measures.language_bias >= 0);
  assert.equal(stored.settings.prompts.query, 'Query: ');
});

test("what Yarn's Plug'n'Play makes of file handles, whose sync() throws there, writes all the same", () => {
  const preload = `import fs from 'node:fs/promises';
    import { syncBuiltinESMExports } from 'node:module';
    const { open } = fs;
    const sync = () => { throw new Error('no handle of Yarn can do this'); };
    process.versions.pnp = '3';
    fs.open = async (...given) => Object.assign(await open(...given), { sync });
    syncBuiltinESMExports();`;
  process.env.NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(preload)}`;
  try {
    const data = ['--data', at('parallel.jsonl')];
    const trained = xlembed('train', ...FRESH, ...data, ...SMALL, '--output', at('pnp'));
    assert.equal(trained.status, 0, trained.stderr);
    const model = ['--model', at('pnp')];
    for (const format of ['npy', 'safetensors', 'parquet']) {
      const output = ['--format', format, '--output', at(`pnp-${format}`)];
      const encoded = xlembed('encode', ...model, '--input', at('corpus.jsonl'), ...output);
      assert.equal(encoded.status, 0, encoded.stderr);
    }
    const mined = xlembed('mine', ...model, '--data', at('parallel.jsonl'), '--output', at('pnp.jsonl'));
    assert.equal(mined.status, 0, mined.stderr);
  } finally {
    delete process.env.NODE_OPTIONS;
  }
});

test('the folder of a new model may be given with a slash at its end', () => {
  const args = ['--data', at('parallel.jsonl'), ...SMALL, '--output', `${at('slash')}/`];
  const trained = xlembed('train', ...FRESH, ...args);
  assert.equal(trained.status, 0, trained.stderr);
  assert.ok(existsSync(join(at('slash'), 'model.safetensors')));
  assert.ok(!existsSync(`${at('slash')}.partial`));
});

test('training again gives the same bits; a fine-tuned model keeps its prompts, or has new ones', () => {
  const outputs = ['again1', 'again2'].map(at);
  for (const output of outputs) {
    const args = ['--data', at('parallel.jsonl'), ...SMALL, '--output', output];
    assert.equal(xlembed('train', ...FRESH, ...args).status, 0);
  }
  const [first, second] = outputs.map((output) => readFileSync(join(output, 'model.safetensors')));
  assert.ok(first!.equals(second!));
  const tune = (base: string, output: string, ...more: string[]) => {
    const args = ['--model', base, '--data', at('parallel.jsonl'), ...SMALL, '--output', output, ...more];
    const { status, stderr } = xlembed('train', ...args);
    assert.equal(status, 0, stderr);
    return json(join(output, 'config_sentence_transformers.json')).prompts;
  };
  const kept = { query: 'Query: ', passage: 'Passage: ', document: 'Passage: ' };
  assert.deepEqual(tune(outputs[0]!, at('tuned')), kept);
  const other = tune(at('tuned'), at('prompted'), '--passage-prompt', 'Text: ');
  const { command } = json(join(at('prompted'), 'training.json'));
  assert.ok(command.endsWith(" --passage-prompt 'Text: '"), 'the command can be given again');
  assert.deepEqual(other, { query: 'Query: ', passage: 'Text: ', document: 'Text: ' });
});

test('a plain text file: a row for each line, empty ones counted', () => {
  writeFileSync(at('texts.txt'), `w9\n\n${'w8 '.repeat(200)}\nw7 \u{1F600}`);
  const encoded = xlembed(
    'encode',
    '--model',
    MODEL,
    '--input',
    at('texts.txt'),
    '--output',
    at('texts'),
    '--json',
  );
  assert.equal(encoded.status, 0, encoded.stderr);
  const { rows, empty, truncated, prompt } = JSON.parse(encoded.stdout);
  assert.deepEqual({ rows, empty, truncated, prompt }, { rows: 4, empty: 1, truncated: 1, prompt: '' });
  const ids = readFileSync(join(at('texts'), 'shard-00000.ids.jsonl'), 'utf8')
    .trim()
    .split('\n');
  assert.deepEqual(
    ids.map((line) => JSON.parse(line).id),
    ['1', '2', '3', '4'],
  );
});

test('doctor says what is there', () => {
  const { status, stdout } = xlembed('doctor', '--json');
  assert.equal(status, 0);
  assert.ok(JSON.stringify(JSON.parse(stdout)).includes('libtorch'));
});
