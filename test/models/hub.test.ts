import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { withHome } from '#xlembed/files/home.js';
import { snapshotCommit } from '#xlembed/models/hub.js';
import { openModel } from '#xlembed/models/open_model.js';
import {
  bert,
  bigModel,
  blobsOf,
  cache,
  hub,
  labse,
  resolve,
  sha256,
  snapshotsOf,
  WEIGHTS,
} from './hub_fixture.js';
import { filesOf } from './hub_server.js';
import { putFile, REFERENCE, refusalOf, temporaryFolder } from './support.js';

test('a folder is taken as it is, whatever its name', async () => {
  const folder = temporaryFolder();
  assert.equal(await resolve(folder), folder);
  assert.equal(hub.requests.length, 0);
  await refusalOf(() => resolve(folder, { revision: 'v1' }), 'INVALID_ARGUMENT', /local folder/);
});

test('what is neither a folder nor a name is not asked for', async () => {
  for (const name of [
    '/no/such/folder',
    './none',
    'a/b/c',
    '../a',
    'a/..',
    '-a/b',
    'a--b/c',
    'a/b?x=1',
    '',
  ]) {
    await refusalOf(() => resolve(name), 'FILE_NOT_FOUND', /does not exist/);
  }
  for (const revision of ['..', 'a/../b', '-x', 'a//b', '/etc', 'a b', 'a\\b', 'x/.y', 'end/']) {
    await refusalOf(() => resolve('owner/name', { revision }), 'INVALID_ARGUMENT', /revision/);
  }
  await refusalOf(() => resolve('owner/name@v1', { revision: 'v2' }), 'INVALID_ARGUMENT', /two revisions/);
  assert.equal(hub.requests.length, 0);
});

test('fetches into the shared layout: blobs by digest, relative links, the ref', async () => {
  const commit = hub.publish('owner/model', 'main', bert);
  const folder = await resolve('owner/model');
  assert.equal(folder, join(snapshotsOf('owner/model'), commit));
  assert.equal(snapshotCommit(folder), commit);
  assert.equal(readFileSync(join(cache, 'models--owner--model/refs/main'), 'utf8'), commit);
  assert.equal(readlinkSync(join(folder, WEIGHTS)), `../../blobs/${sha256(bert.get(WEIGHTS)!)}`);
  assert.match(
    readlinkSync(join(folder, '1_Pooling/config.json')),
    /^\.\.\/\.\.\/\.\.\/blobs\/[0-9a-f]{40}$/,
  );
  assert.equal(filesOf(folder).size, bert.size - 1);
  for (const [path, content] of filesOf(folder)) assert.deepEqual(content, bert.get(path), path);
  assert.equal(
    (await openModel(folder)).prompts.query,
    (await openModel(join(REFERENCE, 'bert-version-6'))).prompts.query,
  );
});

test('what is complete is not fetched again: a branch costs one question, a commit none', async () => {
  const commit = hub.publish('owner/model', 'main', bert);
  await resolve('owner/model');
  hub.requests.length = 0;
  const folder = await resolve('owner/model');
  assert.deepEqual(
    hub.requests.map(({ path }) => path),
    ['/api/models/owner/model/revision/main'],
  );
  assert.equal(await resolve(`owner/model@${commit}`), folder);
  assert.equal(hub.requests.length, 1);
});

test('only what a model needs: one kind of weights, the folders of modules.json', async () => {
  const extra = [
    'onnx/model.onnx',
    'tf_model.h5',
    'flax_model.msgpack',
    'README.md',
    'pytorch_model.bin',
    'training_args.bin',
    'optimizer.pt',
    'other/config.json',
    '.gitattributes',
  ];
  hub.publish(
    'a/safe',
    'main',
    new Map([...bert, ...extra.map((path) => [path, Buffer.from(path)] as const)]),
  );
  const safe = [...filesOf(await resolve('a/safe')).keys()].sort();
  assert.deepEqual(safe, [...bert.keys()].filter((path) => path !== 'expected.json').sort());
  // What would change the embeddings comes along, to be refused.
  const adapter = ['adapter_config.json', Buffer.from('{}')] as const;
  hub.publish('a/adapted', 'main', new Map([...bert, adapter]));
  assert.ok(filesOf(await resolve('a/adapted')).has('adapter_config.json'));
  assert.equal(
    hub.requests.some(({ path }) => extra.some((name) => path.endsWith(`/${name}`))),
    false,
  );

  hub.publish('a/pickled', 'main', labse);
  const pickled = filesOf(await resolve('a/pickled'));
  assert.ok(
    pickled.has('pytorch_model.bin') && [...pickled.keys()].some((path) => path.startsWith('2_Dense/')),
  );

  const shards = ['pytorch_model.bin.index.json', 'pytorch_model-00001-of-00001.bin'];
  const inShards = new Map([...labse].filter(([path]) => path !== 'pytorch_model.bin'));
  for (const path of shards) inShards.set(path, Buffer.from(path));
  hub.publish('a/pickled-shards', 'main', inShards);
  const fetched = filesOf(await resolve('a/pickled-shards'));
  assert.ok(shards.every((path) => fetched.has(path)));

  hub.publish('a/sharded', 'main', filesOf(join(REFERENCE, 'xlm-roberta-sharded')));
  await openModel(await resolve('a/sharded'));

  const laser = ['laser2.pt', 'laser2.spm', 'laser2.cvocab', 'laser2.onnx'].map(
    (name) => [name, Buffer.from(name)] as const,
  );
  hub.publish('a/laser', 'main', new Map(laser));
  assert.deepEqual([...filesOf(await resolve('a/laser')).keys()].sort(), [
    'laser2.cvocab',
    'laser2.pt',
    'laser2.spm',
  ]);
});

test('a repository without weights is refused before anything large is fetched', async () => {
  hub.publish(
    'a/onnx',
    'main',
    new Map([
      ['config.json', Buffer.from('{}')],
      ['onnx/model.onnx', Buffer.alloc(9)],
    ]),
  );
  await refusalOf(() => resolve('a/onnx'), 'FILE_NOT_FOUND', /a\/onnx holds no weights/);
  assert.equal(
    hub.requests.some(({ path }) => path.includes('/resolve/')),
    false,
  );
});

test('a model of another kind is refused by its configuration, before its weights are fetched', async () => {
  const changed = (path: string, content: unknown) =>
    new Map([...bert, [path, Buffer.from(JSON.stringify(content))]]);
  hub.publish('a/qwen', 'main', changed('config.json', { model_type: 'qwen3' }));
  const embedding = { path: '', type: 'sentence_transformers.models.StaticEmbedding' };
  hub.publish('a/static', 'main', changed('modules.json', [embedding]));
  const refused = (name: string, message: RegExp) =>
    refusalOf(() => resolve(name), 'MODEL_UNSUPPORTED', message);
  await refused('a/qwen', /a\/qwen\/config\.json: model_type is "qwen3"/);
  await refused('a/static', /a\/static\/modules\.json: 0\.type is "StaticEmbedding"/);
  assert.equal(hub.requestsFor('model.safetensors').length, 0);
});

test('revisions: branch, tag with a slash, commit; a branch that moves', async () => {
  const first = hub.publish('owner/model', 'main', bert);
  const tag = hub.publish('owner/model', 'release/v1', labse);
  assert.equal(snapshotCommit(await resolve('owner/model@release/v1')), tag);
  assert.equal(snapshotCommit(await resolve('owner/model', { revision: first })), first);
  assert.equal(readFileSync(join(cache, 'models--owner--model/refs/release/v1'), 'utf8'), tag);
  await resolve('owner/model');
  const second = hub.publish('owner/model', 'main', bigModel());
  assert.equal(snapshotCommit(await resolve('owner/model')), second);
  // Unchanged files are not fetched again.
  assert.equal(hub.requestsFor('config.json').filter(({ path }) => path.includes(second)).length, 0);
  assert.equal(snapshotCommit(await resolve('owner/model', { offline: true })), second);
});

test('a name from before owners follows the redirect of the hub', async () => {
  hub.publish('org/tiny', 'main', bert);
  hub.moved.set('tiny', 'org/tiny');
  const folder = await resolve('tiny');
  assert.ok(folder.startsWith(join(cache, 'models--tiny/snapshots')));
  assert.deepEqual(readFileSync(join(folder, WEIGHTS)), bert.get(WEIGHTS));
});

test('refusals of the hub: 401, 403, 404, no such revision', async () => {
  hub.publish('owner/model', 'main', bert);
  await refusalOf(() => resolve('owner/other'), 'HUB_NOT_FOUND', /has no owner\/other$/);
  await refusalOf(() => resolve('owner/model@v9'), 'HUB_NOT_FOUND', /has no revision v9 of owner\/model/);
  hub.token = 'hf_right';
  const none = await refusalOf(
    () => resolve('owner/model'),
    'HUB_UNAUTHORIZED',
    /without a token \(status 401\)/,
  );
  assert.match(none.hint, /HF_TOKEN/);
  const wrong = await refusalOf(
    () => resolve('owner/model', { token: 'hf_wrong' }),
    'HUB_UNAUTHORIZED',
    /with the token given/,
  );
  assert.equal(JSON.stringify([wrong.message, wrong.hint]).includes('hf_wrong'), false);
  hub.token = undefined;
  hub.gated = true;
  const gated = await refusalOf(() => resolve('owner/model'), 'HUB_UNAUTHORIZED', /it is gated/);
  assert.ok(gated.hint.includes(`${hub.endpoint}/owner/model`));
});

test('no hub there: says so and names the remedy', async () => {
  const { endpoint } = hub;
  hub.stop();
  const error = await refusalOf(
    () => resolve('owner/model', { endpoint }),
    'HUB_UNREACHABLE',
    /ECONNREFUSED/,
  );
  assert.match(error.hint, /--offline$/);
  process.env.HTTPS_PROXY = 'http://proxy:3128';
  try {
    const behindProxy = await refusalOf(() => resolve('owner/model', { endpoint }), 'HUB_UNREACHABLE', /./);
    assert.match(behindProxy.hint, /NODE_USE_ENV_PROXY=1 .*hf download owner\/model/);
  } finally {
    delete process.env.HTTPS_PROXY;
  }
});

test('a busy hub is asked again, as often as retries say', async () => {
  hub.publish('owner/model', 'main', bert);
  hub.busy = 2;
  await refusalOf(() => resolve('owner/model'), 'HUB_UNREACHABLE', /status 429/);
  assert.equal(hub.requests.length, 2);
  hub.busy = 2;
  assert.ok(existsSync(await resolve('owner/model', { retries: 2 })));
});

test('the token goes to the hub and never to the store behind it', async () => {
  hub.publish('owner/model', 'main', bert);
  hub.token = 'own-token-of-a-mirror';
  putFile(process.env.HF_TOKEN_PATH!, `${hub.token}\n`);
  try {
    await resolve('owner/model');
  } finally {
    rmSync(process.env.HF_TOKEN_PATH!);
  }
  const authorizations = (server: string) =>
    new Set(
      hub.requests.filter((request) => request.server === server).map(({ authorization }) => authorization),
    );
  assert.deepEqual(authorizations('hub'), new Set([`Bearer ${hub.token}`]));
  assert.deepEqual(authorizations('store'), new Set([undefined]));
  await refusalOf(() => resolve('owner/x', { token: 'two\nlines' }), 'INVALID_ARGUMENT', /hub token.*hidden/);
});

test('the token of hf auth login is found in HF_HOME, wherever HF_HUB_CACHE puts the cache', async () => {
  const home = temporaryFolder();
  const { HF_TOKEN_PATH } = process.env;
  hub.publish('owner/model', 'main', bert);
  hub.token = 'token-of-the-home';
  putFile(join(home, 'token'), hub.token);
  delete process.env.HF_TOKEN_PATH;
  Object.assign(process.env, { HF_HOME: home, HF_HUB_CACHE: join(cache, 'elsewhere') });
  try {
    await resolve('owner/model');
  } finally {
    delete process.env.HF_HOME;
    delete process.env.HF_HUB_CACHE;
    process.env.HF_TOKEN_PATH = HF_TOKEN_PATH;
  }
  assert.equal(hub.requests[0]!.authorization, `Bearer ${hub.token}`);
});

test('paths of the environment may name its variables, and the token its old name, as in Python', async () => {
  hub.publish('owner/model', 'main', bert);
  hub.token = 'token-of-old';
  const names = { SCRATCH: cache, HF_HOME: '$SCRATCH/$NOBODY/hf', HUGGING_FACE_HUB_TOKEN: hub.token };
  Object.assign(process.env, names);
  try {
    const folder = await resolve('owner/model', { cacheFolder: undefined });
    assert.ok(folder.startsWith(join(cache, '$NOBODY/hf/hub/models--owner--model')), folder);
  } finally {
    for (const name of Object.keys(names)) delete process.env[name];
  }
});

test('a user without a home folder learns what to set', async () => {
  await refusalOf(
    async () => withHome(() => assert.fail('uv_os_homedir returned ENOENT')),
    'FILE_NOT_FOUND',
    /no home folder/,
  );
});

test('a token file that cannot be read is named', async () => {
  mkdirSync(process.env.HF_TOKEN_PATH!);
  try {
    await refusalOf(() => resolve('owner/model'), 'FILE_READ_FAILED', /none is a folder/);
  } finally {
    rmSync(process.env.HF_TOKEN_PATH!, { recursive: true });
  }
});

test('offline: a complete cache opens, by branch and by commit, without a question', async () => {
  const commit = hub.publish('owner/model', 'main', bert);
  const folder = await resolve('owner/model');
  hub.requests.length = 0;
  assert.equal(await resolve('owner/model', { offline: true }), folder);
  process.env.HF_HUB_OFFLINE = '1';
  try {
    assert.equal(await resolve(`owner/model@${commit}`), folder);
    assert.equal(await resolve('owner/model'), folder);
  } finally {
    delete process.env.HF_HUB_OFFLINE;
  }
  assert.equal(hub.requests.length, 0);
});

test('offline: names what is missing', async () => {
  hub.publish('owner/model', 'main', bert);
  await refusalOf(() => resolve('owner/model', { offline: true }), 'HUB_OFFLINE', /refs\/main/);
  mkdirSync(join(cache, 'models--owner--model/refs/pr/1'), { recursive: true });
  await refusalOf(() => resolve('owner/model@pr', { offline: true }), 'HUB_OFFLINE', /refs\/pr/);
  const folder = await resolve('owner/model');
  await refusalOf(
    () => resolve('owner/model@v1', { offline: true }),
    'HUB_OFFLINE',
    /owner\/model@v1 .*refs\/v1/,
  );
  rmSync(join(folder, 'modules.json'));
  rmSync(join(blobsOf('owner/model'), sha256(bert.get(WEIGHTS)!)));
  const error = await refusalOf(
    () => resolve('owner/model', { offline: true }),
    'HUB_OFFLINE',
    /lacks .*modules\.json/,
  );
  assert.match(error.message, /model\.safetensors/);
  assert.doesNotMatch(error.message, /tokenizer\.json/);
});

test('offline: an interrupted first download names the files still to come', async () => {
  const commit = hub.publish('owner/model', 'main', bert);
  hub.corrupted.add(WEIGHTS);
  await refusalOf(() => resolve('owner/model'), 'CHECKSUM_MISMATCH', /safetensors/);
  await refusalOf(
    () => resolve(`owner/model@${commit}`, { offline: true }),
    'HUB_OFFLINE',
    /model\.safetensors/,
  );
});

test('path tricks in file names: the repository is refused and nothing is written', async () => {
  hub.publish('owner/model', 'main', bert);
  for (const evil of ['../../../evil', '/etc/evil', 'a/../../evil', 'a\\..\\evil', 'a//b', './x', 'nul\0']) {
    hub.rename = (path) => (path === 'config.json' ? evil : path);
    await refusalOf(() => resolve('owner/model'), 'MODEL_INVALID', /leads out/);
  }
  assert.deepEqual(
    readdirSync(cache).filter((name) => name !== '.locks'),
    [],
  );
});
