import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { filesOf, HubServer } from '../models/hub_server.js';
import { type Outcome, temporaryFolder, xlembed } from './run.js';

const REFERENCE = 'test/reference';
const folder = temporaryFolder();
const hub = await HubServer.start();
after(() => hub.stop());

/** Runs the program beside the hub of this process. */
async function withHub(...args: string[]): Promise<Outcome> {
  const { HF_TOKEN, HF_HUB_OFFLINE, ...env } = process.env;
  const child = spawn(process.execPath, ['dist/cli/main.js', ...args], {
    env: {
      ...env,
      HF_ENDPOINT: hub.endpoint,
      HF_HUB_CACHE: join(folder, 'hub'),
      HF_TOKEN_PATH: join(folder, 'none'),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const text = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].on('data', (piece: Buffer) => {
      text[stream] += piece;
    });
  }
  const status = await new Promise<number | null>((end) => child.on('close', end));
  return { status, ...text };
}

function inspect(model: string) {
  const { status, stdout, stderr } = xlembed('models', 'inspect', model, '--json');
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout);
}

/** Numbers in the files' tensors by the goldens of transformers' state_dict; without what only training uses. */
function countExpected(model: string): number {
  const path = join(REFERENCE, 'models', model, 'expected.json');
  const { tensors } = JSON.parse(readFileSync(path, 'utf8')) as {
    tensors: Record<string, { shape: number[] }>;
  };
  return Object.entries(tensors)
    .filter(([name]) => !/pooler|position_ids|lm_head|cls\./.test(name))
    .reduce((sum, [, { shape }]) => sum + shape.reduce((product, size) => product * size, 1), 0);
}

test('inspect: plain folders of BERT and XLM-R', () => {
  for (const [name, kind] of [
    ['bert', 'WordLevel'],
    ['xlm-roberta', 'WordLevel'],
  ] as const) {
    const path = join(REFERENCE, 'encoder', name);
    const config = JSON.parse(readFileSync(join(path, 'config.json'), 'utf8'));
    const found = inspect(path);
    const { backbone } = found;
    assert.equal(found.modelType, name);
    assert.deepEqual(
      [backbone.layers, backbone.hiddenSize, backbone.heads, backbone.vocabularySize],
      [config.num_hidden_layers, config.hidden_size, config.num_attention_heads, config.vocab_size],
    );
    assert.equal(found.dimensions, config.hidden_size);
    assert.equal(found.tokenizer.kind, kind);
    assert.deepEqual(found.weights, [
      { path: 'model.safetensors', bytes: readFileSync(join(path, 'model.safetensors')).length },
    ]);
    assert.match(found.notes.join('\n'), /no modules\.json/);
    assert.equal(found.commit, null);
  }
});

test('inspect: sentence-transformers folders, half precision, shards, a checkpoint with a dense module', () => {
  const bert = inspect(`${REFERENCE}/models/bert-version-6`);
  assert.equal(bert.parameters, countExpected('bert-version-6'));
  assert.deepEqual(bert.usedPrompts, { query: 'query: ', passage: 'passage: ' });
  assert.deepEqual(bert.head, [{ type: 'pool', modes: ['mean'] }, { type: 'normalize' }]);
  assert.equal(bert.maxTokens, 16);

  const labse = inspect(`${REFERENCE}/models/labse-version-5`);
  assert.equal(labse.dimensions, 6);
  assert.deepEqual(
    labse.weights.map(({ path }: { path: string }) => path),
    ['pytorch_model.bin', '2_Dense/pytorch_model.bin'],
  );
  assert.equal(labse.dtypes.float32.parameters, labse.parameters);

  const half = inspect(`${REFERENCE}/models/roberta-float16`);
  assert.deepEqual(Object.keys(half.dtypes), ['float16']);
  assert.equal(half.dtypes.float16.bytes, 2 * half.parameters);

  const sharded = inspect(`${REFERENCE}/models/xlm-roberta-sharded`);
  assert.equal(sharded.weights.length, 2);
  assert.equal(sharded.parameters, countExpected('xlm-roberta-sharded'));
});

test('inspect: lines for people, and coded errors', () => {
  const { stdout } = xlembed('models', 'inspect', `${REFERENCE}/models/labse-version-5`);
  for (const line of [
    /architecture +bert: transformer, 2 layers/,
    /head .*dense 8 -> 6 \(tanh\)/,
    /2_Dense\/pytorch_model\.bin +2\.1 kB/,
  ]) {
    assert.match(stdout, line);
  }
  const none = xlembed('models', 'inspect', './no/such/folder');
  assert.equal(none.status, 1);
  assert.match(none.stderr, /FILE_NOT_FOUND: the model folder \.\/no\/such\/folder/);
  assert.equal(xlembed('models', 'inspect').status, 2);
});

test('a name on the hub: inspected and encoded with as its folder is; then offline', async () => {
  const source = `${REFERENCE}/encoder/bert`;
  const commit = hub.publish('owner/tiny', 'main', filesOf(source));
  const inspected = await withHub('models', 'inspect', 'owner/tiny', '--json');
  assert.equal(inspected.status, 0, inspected.stderr);
  assert.match(inspected.stderr, /fetching owner\/tiny \(MB\) 1\/1/);
  const { commit: found, parameters } = JSON.parse(inspected.stdout);
  assert.deepEqual({ found, parameters }, { found: commit, parameters: inspect(source).parameters });

  const input = join(folder, 'texts.txt');
  writeFileSync(input, 'w9 w8\nw10\n');
  const encode = (model: string, output: string, ...more: string[]) =>
    withHub('encode', '--model', model, '--input', input, '--output', join(folder, output), ...more);
  const embeddings = (output: string) => readFileSync(join(folder, output, 'shard-00000.npy'));
  assert.equal((await encode(source, 'local')).status, 0);
  const online = await encode('owner/tiny', 'online', '--revision', commit);
  assert.equal(online.status, 0, online.stderr);
  assert.deepEqual(embeddings('online'), embeddings('local'));

  hub.requests.length = 0;
  const offline = await encode('owner/tiny', 'offline', '--offline');
  assert.equal(offline.status, 0, offline.stderr);
  assert.deepEqual(embeddings('offline'), embeddings('local'));
  const missing = await encode('owner/other', 'none', '--offline', '--json');
  assert.equal(missing.status, 1);
  assert.equal(JSON.parse(missing.stdout).error.code, 'HUB_OFFLINE');
  assert.equal(hub.requests.length, 0);
});

test('train, search and evaluate take the same options', () => {
  for (const verb of ['train', 'encode', 'search', 'evaluate']) {
    const { stdout } = xlembed(verb, '--help');
    for (const option of ['--model <dir|id>', '--revision <name>', '--offline'])
      assert.ok(stdout.includes(option), verb);
  }
});
