import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import fsPromises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { withLock } from '#xlembed/models/hub/lock.js';
import { bert, bigModel, blobsOf, cache, hub, resolve, sha256, snapshotsOf, WEIGHTS } from './hub_fixture.js';
import { putFile, refusalOf } from './support.js';

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
test('a damaged listing of ours, or a link that leads to itself, is made again', async () => {
  const commit = hub.publish('owner/model', 'main', bert);
  const folder = await resolve('owner/model');
  const listing = join(cache, 'models--owner--model/.xlembed', `${commit}.json`);
  for (const content of [readFileSync(listing).subarray(0, 50), '', '{"files": 2}']) {
    writeFileSync(listing, content);
    assert.equal(await resolve('owner/model', { offline: true }), folder);
    assert.equal(await resolve('owner/model'), folder);
    assert.ok(JSON.parse(readFileSync(listing, 'utf8')).files.length > 1);
  }
  const ref = join(cache, 'models--owner--model/refs/main');
  rmSync(ref);
  symlinkSync('main', ref);
  await refusalOf(() => resolve('owner/model', { offline: true }), 'HUB_OFFLINE', /no .*refs\/main/);
  assert.equal(await resolve('owner/model'), folder);
  assert.equal(readFileSync(ref, 'utf8'), commit);
  rmSync(join(folder, WEIGHTS));
  symlinkSync(WEIGHTS, join(folder, WEIGHTS));
  await refusalOf(() => resolve('owner/model', { offline: true }), 'HUB_OFFLINE', /lacks model\.safetensors/);
  await resolve('owner/model');
  assert.deepEqual(readFileSync(join(folder, WEIGHTS)), bert.get(WEIGHTS));
});

test('where the file system knows no links a snapshot has copies', async (context) => {
  const refused = Object.assign(new Error('symlink: operation not permitted'), { code: 'EPERM' });
  context.mock.method(fsPromises, 'symlink', () => Promise.reject(refused));
  syncBuiltinESMExports();
  try {
    hub.publish('owner/model', 'main', bert);
    const folder = await resolve('owner/model');
    assert.ok(lstatSync(join(folder, WEIGHTS)).isFile());
    assert.deepEqual(readFileSync(join(folder, WEIGHTS)), bert.get(WEIGHTS));
  } finally {
    context.mock.restoreAll();
    syncBuiltinESMExports();
  }
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

test('a full disk leaves no lock for the next to wait for', () => {
  const lock = join(cache, 'xlembed.lock');
  const program = `
    const { withLock } = await import('#xlembed/models/hub/lock.js');
    await withLock(${JSON.stringify(lock)}, () => {}, () => {}).catch(({ code }) => console.log(code));`;
  const shell = `trap '' XFSZ; ulimit -f 0; exec "$@"`;
  const argv = ['-c', shell, 'bash', process.execPath, '--input-type=module', '--eval', program];
  const { stdout } = spawnSync('bash', argv, { encoding: 'utf8' });
  assert.equal(stdout.trim(), 'FILE_WRITE_FAILED');
  assert.ok(!existsSync(lock));
});

test('a lock of another machine that has died is taken over, also where its clock was ahead', async () => {
  const lock = join(cache, 'ahead.lock');
  for (const seconds of [-3600, 3600]) {
    writeFileSync(lock, JSON.stringify({ host: 'another', process: 1 }));
    const at = Date.now() / 1000 + seconds;
    utimesSync(lock, at, at);
    const taken = withLock(
      lock,
      () => {},
      async () => 'taken',
    );
    const late = new Promise((resolve) => setTimeout(resolve, 5_000, 'late').unref());
    assert.equal(await Promise.race([taken, late]), 'taken');
  }
});

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
