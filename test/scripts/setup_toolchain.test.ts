import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type TestContext, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { load, silentSetup, temporaryFolder } from './load.js';

const { cacheFolder, checkMachine, remedyOf, SetupError } = await load('scripts/setup/shared.mjs');
const { findToolchain, which } = await load('scripts/setup/toolchain.mjs');

/** A PATH that holds these programs alone, each of which prints a text. */
function programs(context: TestContext, texts: Record<string, string>): void {
  const folder = temporaryFolder(context);
  symlinkSync(which('sh'), join(folder, 'sh'));
  for (const [name, text] of Object.entries(texts)) {
    writeFileSync(join(folder, name), `#!/bin/sh\necho '${text}'\n`);
    chmodSync(join(folder, name), 0o755);
  }
  const before = { ...process.env };
  context.after(() => {
    process.env = before;
  });
  process.env = { PATH: folder };
}

/** Fails where the set-up would install something. */
const setup = {
  ...silentSetup(),
  run: (command: string, args: string[]) => assert.fail(`${command} ${args.join(' ')}`),
};

const tools = { 'g++': '12.2.0', cmake: 'cmake version 3.25.1', make: '' };

test('compiler, cmake and make are found', async (context) => {
  programs(context, tools);
  const [found] = await findToolchain(setup);
  assert.deepEqual(
    [found.compiler.version, found.cmake.version, found.generator],
    ['12.2.0', '3.25.1', 'Unix Makefiles'],
  );
});

test('a cmake that is too old is not called missing: installing one would not help', async (context) => {
  programs(context, { ...tools, cmake: 'cmake version 3.16.3' });
  await assert.rejects(findToolchain(setup), { message: 'cmake is older than 3.22', remedy: /on the PATH/ });
});

test('a g++ that is too old needs another and CXX', async (context) => {
  programs(context, { ...tools, 'g++': '9.4.0' });
  await assert.rejects(findToolchain(setup), { message: 'g++ is older than 11', remedy: /set CXX/ });
});

test('a CXX that is no g++ is named', async (context) => {
  programs(context, tools);
  for (const name of ['clang++', 'ccache g++', '/absent/g++']) {
    process.env.CXX = name;
    await assert.rejects(findToolchain(setup), {
      message: new RegExp(`^CXX=${name.replaceAll('+', '.')} is`),
    });
  }
});

test('the Nodes that run are those of package.json', () => {
  for (const version of ['20.19.0', '20.20.2', '22.12.0', '23.0.0', '24.0.0']) checkMachine(version, {});
  for (const version of ['18.20.0', '20.18.3', '21.7.3', '22.11.0'])
    assert.throws(() => checkMachine(version, {}), /cannot be used/, version);
});

test('a path that CMake would take for a list or a pattern is refused', () => {
  for (const name of ['a b', 'ü#%$', "o'b", 'a,b:c']) checkMachine(undefined, {}, `/home/${name}`);
  for (const name of ['a;b', 'a"b', '[slug]', 'a\\b', 'a*'])
    assert.throws(() => checkMachine(undefined, {}, `/home/${name}`), /CMake cannot build in/, name);
});

test('a setting that CMake would pass over is refused', () => {
  for (const value of ['', 'AUTO', 'ON', 'OFF']) checkMachine(undefined, { XLEMBED_CUDA: value });
  for (const name of ['XLEMBED_CUDA', 'XLEMBED_FAISS'])
    assert.throws(() => checkMachine(undefined, { [name]: 'off' }), {
      message: `${name}=off is not known`,
      remedy: 'set it to AUTO, ON or OFF, or unset it',
    });
});

test('the cache is an absolute folder, and where there is no home the remedy is said', () => {
  assert.equal(cacheFolder({ XLEMBED_CACHE: '', XDG_CACHE_HOME: 'here' }), resolve('here/xlembed'));
  const program = `
    import { cacheFolder } from '${pathToFileURL('scripts/setup/shared.mjs').href}';
    try { console.log(cacheFolder({})); } catch (error) { console.log(error.remedy); }`;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
    env: { HOME: '' },
  });
  assert.equal(stdout, 'set XLEMBED_CACHE to a folder\n');
});

test('errors of the file system have their remedy', () => {
  const remedy = (code: string, path?: string) => remedyOf(Object.assign(new Error(code), { code, path }));
  assert.match(remedy('EACCES', cacheFolder()), /or set XLEMBED_CACHE to one/);
  assert.match(remedy('EROFS', join(cacheFolder(), 'libtorch')), /or set XLEMBED_CACHE to one/);
  assert.equal(remedy('EROFS', '/elsewhere/.build'), 'make /elsewhere/.build writable');
  assert.equal(remedy('EACCES', resolve('src/setup.lock.123')), `make ${resolve('src')} writable`);
  assert.equal(remedy('ENOSPC', '/elsewhere/.build'), 'free disk space');
  assert.match(remedy('EPIPE'), /--force --verbose$/);
  assert.equal(remedyOf(new SetupError('a tool is missing', 'install it')), 'install it');
});
