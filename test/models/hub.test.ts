import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, beforeEach, test } from 'node:test';
import { type HubOptions, resolveModel, snapshotCommit } from '#xlembed/models/hub.js';
import { openModel } from '#xlembed/models/open_model.js';
import { filesOf, HubServer } from './hub_server.js';
import { putFile, REFERENCE, refusalOf, temporaryFolder } from './support.js';

const WEIGHTS = 'model.safetensors';
const labse = filesOf(join(REFERENCE, 'labse-version-5'));
const bert = filesOf(join(REFERENCE, 'bert-version-6'));

// The test decides what the environment says.
for (const name of ['HF_TOKEN', 'HF_ENDPOINT', 'HF_HUB_OFFLINE', 'TRANSFORMERS_OFFLINE'])
  delete process.env[name];
process.env.HF_TOKEN_PATH = join(temporaryFolder(), 'none');

let hub: HubServer;
let cache: string;
const started: HubServer[] = [];

beforeEach(async () => {
  hub = await HubServer.start();
  started.push(hub);
  cache = temporaryFolder();
});
after(() => {
  for (const server of started) server.stop();
});

function resolve(name: string, options: HubOptions = {}): Promise<string> {
  const { endpoint = hub.endpoint } = options;
  return resolveModel(name, { cacheFolder: cache, retries: 1, retryDelay_ms: 1, ...options, endpoint });
}

function bigModel(size = 300_000) {
  return new Map([...bert, [WEIGHTS, randomBytes(size)]]);
}

const blobsOf = (repository: string) => join(cache, `models--${repository.replace('/', '--')}`, 'blobs');
const snapshotsOf = (repository: string) =>
  join(cache, `models--${repository.replace('/', '--')}`, 'snapshots');
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

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

test('a broken connection is taken up where it broke, within one call', async () => {
  const files = bigModel();
  hub.publish('owner/model', 'main', files);
  hub.cutAfter.set(WEIGHTS, 100_000);
  const folder = await resolve('owner/model');
  const ranges = hub
    .requestsFor(WEIGHTS)
    .filter(({ server }) => server === 'store')
    .map(({ range }) => range);
  assert.equal(ranges.length, 2);
  assert.equal(ranges[0], undefined);
  assert.match(ranges[1]!, /^bytes=[1-9]\d*-$/);
  assert.deepEqual(readFileSync(join(folder, WEIGHTS)), files.get(WEIGHTS));
});

test('a call that failed leaves no snapshot; the next one goes on with what it received', async () => {
  const files = bigModel();
  hub.publish('owner/model', 'main', files);
  hub.cutAfter.set(WEIGHTS, 100_000);
  const attempt = resolve('owner/model', {
    retries: 0,
    onProgress: ({ file, bytesDone }) => {
      // From the first bytes of the weights on, every further answer breaks as well, without a byte.
      if (file === WEIGHTS && bytesDone > 0) hub.cutAfter.set(WEIGHTS, 0);
    },
  });
  await refusalOf(() => attempt, 'HUB_UNREACHABLE', /owner\/model/);
  assert.equal(existsSync(snapshotsOf('owner/model')), false);
  const partial = join(blobsOf('owner/model'), `${sha256(files.get(WEIGHTS)!)}.xlembed.incomplete`);
  const received = lstatSync(partial).size;
  assert.ok(received > 0 && received <= 100_000);
  hub.cutAfter.clear();
  hub.requests.length = 0;
  const progress: number[] = [];
  const folder = await resolve('owner/model', { onProgress: ({ bytesDone }) => progress.push(bytesDone) });
  assert.equal(hub.requestsFor(WEIGHTS).at(-1)!.range, `bytes=${received}-`);
  assert.equal(existsSync(partial), false);
  assert.deepEqual(readFileSync(join(folder, WEIGHTS)), files.get(WEIGHTS));
  assert.deepEqual(
    progress,
    progress.toSorted((a, b) => a - b),
    'progress never goes back',
  );
});

test('a server without ranges: the whole file again', async () => {
  const files = bigModel();
  hub.publish('owner/model', 'main', files);
  hub.ignoresRange = true;
  hub.cutAfter.set(WEIGHTS, 100_000);
  const folder = await resolve('owner/model');
  assert.deepEqual(readFileSync(join(folder, WEIGHTS)), files.get(WEIGHTS));
});

test('a silent server counts as a broken connection', async () => {
  // So that no attempt brings anything new.
  hub.ignoresRange = true;
  hub.publish('owner/model', 'main', bert);
  let letGo = () => {};
  hub.held.set(
    WEIGHTS,
    new Promise((go) => {
      letGo = go;
    }),
  );
  await refusalOf(
    () => resolve('owner/model', { idleTimeout_ms: 150, retries: 0 }),
    'HUB_UNREACHABLE',
    /silent for 150 ms/,
  );
  letGo();
});

for (const path of [WEIGHTS, 'config.json', 'modules.json']) {
  test(`corrupted bytes of ${path}: refused, nothing of them stays`, async () => {
    hub.publish('owner/model', 'main', bert);
    hub.corrupted.add(path);
    await refusalOf(() => resolve('owner/model'), 'CHECKSUM_MISMATCH', new RegExp(`^${path}: expected sha`));
    assert.equal(existsSync(snapshotsOf('owner/model')), false);
    assert.equal(existsSync(join(cache, 'models--owner--model/refs')), false);
    const names = readdirSync(blobsOf('owner/model'));
    assert.equal(
      names.some((name) => name.includes('incomplete')),
      false,
    );
    hub.corrupted.clear();
    assert.deepEqual(readFileSync(join(await resolve('owner/model'), path)), bert.get(path));
  });
}

test('a damaged first part of a resumed transfer is found', async () => {
  const files = bigModel();
  hub.publish('owner/model', 'main', files);
  putFile(
    join(blobsOf('owner/model'), `${sha256(files.get(WEIGHTS)!)}.xlembed.incomplete`),
    Buffer.alloc(1000),
  );
  await refusalOf(() => resolve('owner/model'), 'CHECKSUM_MISMATCH', /model\.safetensors/);
  await resolve('owner/model');
});

test('a blob of another size than its file is fetched again', async () => {
  const commit = hub.publish('owner/model', 'main', bert);
  const folder = await resolve('owner/model');
  writeFileSync(join(blobsOf('owner/model'), sha256(bert.get(WEIGHTS)!)), 'cut');
  assert.equal(await resolve(`owner/model@${commit}`), folder);
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
  assert.match(error.hint, /--offline/);
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

test('two calls at once fetch every file once', async () => {
  const files = bigModel(2_000_000);
  hub.publish('owner/model', 'main', files);
  const folders = await Promise.all([resolve('owner/model'), resolve('owner/model'), resolve('owner/model')]);
  assert.equal(new Set(folders).size, 1);
  assert.equal(hub.requestsFor(WEIGHTS).filter(({ server }) => server === 'store').length, 1);
  assert.deepEqual(readFileSync(join(folders[0]!, WEIGHTS)), files.get(WEIGHTS));
});

test('two revisions at once that share a file fetch it once', async () => {
  const files = bigModel(2_000_000);
  hub.publish('owner/model', 'main', files);
  hub.publish('owner/model', 'v1', new Map([...files, ['vocab.txt', Buffer.from('other')]]));
  const folders = await Promise.all([resolve('owner/model'), resolve('owner/model@v1')]);
  assert.notEqual(folders[0], folders[1]);
  assert.equal(hub.requestsFor(WEIGHTS).filter(({ server }) => server === 'store').length, 1);
  for (const folder of folders) assert.deepEqual(readFileSync(join(folder, WEIGHTS)), files.get(WEIGHTS));
});

/** Another process that resolves the model; ends with the folder on its output. */
function otherProcess(name: string) {
  const program = `
    const { resolveModel } = await import('#xlembed/models/hub.js');
    process.stdout.write(await resolveModel(${JSON.stringify(name)}, ${JSON.stringify({ endpoint: hub.endpoint, cacheFolder: cache })}));`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.on('data', (text: Buffer) => {
    output += text;
  });
  const done = new Promise<string>((end) => child.on('close', () => end(output)));
  return { child, done };
}

test('two processes at once, and a killed one whose work is taken up', async () => {
  const files = bigModel(3_000_000);
  hub.publish('owner/model', 'main', files);
  let letGo = () => {};
  hub.held.set(
    WEIGHTS,
    new Promise((go) => {
      letGo = go;
    }),
  );
  const killed = otherProcess('owner/model');
  const partial = join(blobsOf('owner/model'), `${sha256(files.get(WEIGHTS)!)}.xlembed.incomplete`);
  while (!(lstatSync(partial, { throwIfNoEntry: false })?.size ?? 0))
    await new Promise((next) => setTimeout(next, 20));
  killed.child.kill('SIGKILL');
  await killed.done;
  const received = lstatSync(partial).size;
  hub.held.clear();
  letGo();
  const outputs = await Promise.all([otherProcess('owner/model').done, otherProcess('owner/model').done]);
  assert.ok(existsSync(outputs[0]!) && outputs[0] === outputs[1]);
  const ranges = hub
    .requestsFor(WEIGHTS)
    .filter(({ server }) => server === 'store')
    .map(({ range }) => range);
  // The lock is a courtesy: on a slow machine a second process may take the work up as well.
  const [first, ...later] = ranges;
  assert.equal(first, undefined);
  assert.deepEqual(new Set(later), new Set([`bytes=${received}-`]));
  assert.deepEqual(readFileSync(join(outputs[0]!, WEIGHTS)), files.get(WEIGHTS));
  assert.deepEqual(
    readdirSync(blobsOf('owner/model')).filter((name) => name.includes('.')),
    [],
  );
  assert.deepEqual(readdirSync(join(cache, '.locks/models--owner--model')), []);
});
