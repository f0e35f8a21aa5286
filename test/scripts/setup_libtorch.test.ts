import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { load, silentSetup, temporaryFolder } from './load.js';

const { inspectLibtorch, locateLibtorch } = await load('scripts/setup/libtorch.mjs');
const { pinnedVersion } = await load('scripts/setup/fetch_libtorch.mjs');

/** A folder that looks like libtorch's. */
function fakeLibtorch(folder: string, version = '2.13.0', without?: string): string {
  const [major, minor, patch] = version.split('.');
  const files: Record<string, string> = {
    'include/ATen/ATen.h': '',
    'include/torch/headeronly/version.h': `#define TORCH_VERSION_MAJOR ${major}\n#define TORCH_VERSION_MINOR ${minor}\n#define TORCH_VERSION_PATCH ${patch}\n`,
    'lib/libtorch.so': '',
    'lib/libtorch_cpu.so': '',
    'lib/libc10.so': '',
  };
  for (const [name, text] of Object.entries(files)) {
    if (name === without) continue;
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return folder;
}

/** Environment for one test: no LIBTORCH, an empty cache, and a Python whose torch lies in `torch`. */
function environment(context: TestContext, torch = ''): string {
  const folder = temporaryFolder(context);
  const before = { ...process.env };
  context.after(() => {
    process.env = before;
  });
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  for (const name of ['python3', 'python']) {
    writeFileSync(join(bin, name), `#!/bin/sh\necho '${torch}'\n`);
    chmodSync(join(bin, name), 0o755);
  }
  process.env = { ...before, PATH: `${bin}:${before.PATH}`, XLEMBED_CACHE: join(folder, 'cache') };
  delete process.env.LIBTORCH;
  return folder;
}

test('a whole folder is accepted with its version; CUDA is seen by its library', (context) => {
  const folder = fakeLibtorch(temporaryFolder(context), '2.14.1');
  assert.deepEqual(inspectLibtorch(folder), { path: folder, version: '2.14.1', cuda: false });
  writeFileSync(join(folder, 'lib/libtorch_cuda.so'), '');
  assert.equal(inspectLibtorch(folder).cuda, true);
});

test('what is wrong with a folder is said', (context) => {
  const folder = temporaryFolder(context);
  const problemOf = (path: string): string => inspectLibtorch(path).problem;
  assert.equal(problemOf(join(folder, 'absent')), 'no such folder');
  assert.match(problemOf(fakeLibtorch(join(folder, 'Doe, Jane'))), /no path with ,/);
  assert.equal(problemOf(fakeLibtorch(join(folder, 'old'), '2.10.3')), 'version 2.10.3 is older than 2.11');
  for (const part of ['include/ATen/ATen.h', 'lib/libtorch_cpu.so']) {
    assert.equal(problemOf(fakeLibtorch(join(folder, dirname(part)), '2.13.0', part)), `no ${part}`);
  }
});

test('LIBTORCH comes first, and a wrong one is an error rather than passed over', async (context) => {
  const folder = environment(context, fakeLibtorch(join(temporaryFolder(context), 'torch')));
  process.env.LIBTORCH = fakeLibtorch(join(folder, 'mine'), '2.12.0');
  const [chosen] = await locateLibtorch(silentSetup());
  assert.deepEqual([chosen.path, chosen.version, chosen.found], [join(folder, 'mine'), '2.12.0', 'LIBTORCH']);
  process.env.LIBTORCH = join(folder, 'absent');
  await assert.rejects(locateLibtorch(silentSetup()), /LIBTORCH=.*absent cannot be used: no such folder/);
});

test("Python's torch comes before the cache", async (context) => {
  const torch = fakeLibtorch(join(temporaryFolder(context), 'torch'), '2.12.1');
  const folder = environment(context, torch);
  fakeLibtorch(join(folder, 'cache', `libtorch-${pinnedVersion}`));
  const [chosen] = await locateLibtorch(silentSetup());
  assert.deepEqual([chosen.path, chosen.found], [torch, 'the torch of python3']);
});

test("Python's torch without headers is passed over with a message", async (context) => {
  const torch = fakeLibtorch(join(temporaryFolder(context), 'torch'), '2.12.1', 'include/ATen/ATen.h');
  const folder = environment(context, torch);
  const cached = fakeLibtorch(join(folder, 'cache', `libtorch-${pinnedVersion}`));
  const setup = silentSetup();
  const [chosen] = await locateLibtorch(setup);
  assert.deepEqual([chosen.path, chosen.found], [cached, 'the cache']);
  assert.match(setup.said[0] ?? '', /the torch of python3 .* was passed over: no include\/ATen\/ATen.h/);
});

test('the last choice stays while it is there; --force and another LIBTORCH choose anew', async (context) => {
  const folder = environment(context);
  const previous = (await locateFrom(fakeLibtorch(join(folder, 'mine')))) as { path: string };
  delete process.env.LIBTORCH;
  const cached = fakeLibtorch(join(folder, 'cache', `libtorch-${pinnedVersion}`));
  const pathOf = async (options: Record<string, boolean>) =>
    (await locateLibtorch(silentSetup(options), previous))[0].path;
  assert.equal(await pathOf({}), previous.path);
  assert.equal(await pathOf({ force: true }), cached);
  process.env.LIBTORCH = fakeLibtorch(join(folder, 'other'));
  assert.equal(await pathOf({}), join(folder, 'other'));
  delete process.env.LIBTORCH;
  rmSync(previous.path, { recursive: true });
  assert.equal(await pathOf({}), cached);
});

async function locateFrom(folder: string): Promise<unknown> {
  process.env.LIBTORCH = folder;
  return (await locateLibtorch(silentSetup()))[0];
}

test('a folder named torch in the working folder is not taken for the package', async (context) => {
  const folder = environment(context);
  process.env.PATH = process.env.PATH?.split(':').slice(1).join(':');
  const working = join(folder, 'working');
  fakeLibtorch(join(working, 'torch'));
  writeFileSync(join(working, 'torch', '__init__.py'), '');
  const cached = fakeLibtorch(join(folder, 'cache', `libtorch-${pinnedVersion}`));
  const before = process.cwd();
  context.after(() => process.chdir(before));
  process.chdir(working);
  const [chosen] = await locateLibtorch(silentSetup());
  assert.notEqual(chosen.path, join(working, 'torch'));
  assert.ok(existsSync(cached) && readdirSync(working).length === 1);
});
