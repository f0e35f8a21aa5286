import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { copyOfScripts, load } from './load.js';

const { staleModule } = await load('scripts/setup/modules.mjs');
const { isAtLeast } = await load('scripts/setup/toolchain.mjs');

const locked = {
  packages: {
    '': { name: 'root' },
    'node_modules/zod': { version: '4.4.3' },
    'node_modules/a/node_modules/which': { version: '6.0.0' },
    'node_modules/@biomejs/cli-darwin-arm64': { version: '2.6.8', optional: true },
  },
};
const installed = (versions: Record<string, string>) => ({
  packages: Object.fromEntries(Object.entries(versions).map(([path, version]) => [path, { version }])),
});
const complete = { 'node_modules/zod': '4.4.3', 'node_modules/a/node_modules/which': '6.0.0' };

test('the locked versions without another platform are up to date', () => {
  assert.equal(staleModule(locked, installed(complete)), undefined);
});

test('a missing, an older and a nested module are found', () => {
  assert.equal(staleModule(locked, undefined), 'zod');
  assert.equal(staleModule(locked, installed({ ...complete, 'node_modules/zod': '4.4.2' })), 'zod');
  assert.equal(staleModule(locked, installed({ 'node_modules/zod': '4.4.3' })), 'which');
});

test('an optional module that is there must have the locked version', () => {
  const other = { ...complete, 'node_modules/@biomejs/cli-darwin-arm64': '2.6.7' };
  assert.equal(staleModule(locked, installed(other)), '@biomejs/cli-darwin-arm64');
});

test('versions compare by number', () => {
  for (const version of ['3.22', '3.22.1', '3.100', '4.0']) assert.ok(isAtLeast(version, [3, 22]), version);
  for (const version of ['3.21.9', '3.3', '2.99', '']) assert.ok(!isAtLeast(version, [3, 22]), version);
});

test('the locked versions are asked for, whatever an .npmrc says', (context) => {
  const root = copyOfScripts(context);
  mkdirSync(join(root, 'src'));
  writeFileSync(join(root, 'npm'), `#!/bin/sh\nprintf '%s ' "$@" > '${root}/asked'\n`, { mode: 0o755 });
  spawnSync(process.execPath, [join(root, 'scripts/setup.mjs')], { env: { PATH: root } });
  const asked = readFileSync(join(root, 'asked'), 'utf8');
  for (const setting of ['--package-lock=true', '--package-lock-only=false', '--include=dev'])
    assert.ok(asked.includes(setting), asked);
});

/** Of a checkout's copy, on a machine that has Node alone. */
function setUpWithoutNpm(context: TestContext, ...options: string[]) {
  const root = copyOfScripts(context);
  mkdirSync(join(root, 'src'));
  return spawnSync(process.execPath, [join(root, 'scripts/setup.mjs'), ...options], {
    encoding: 'utf8',
    env: { PATH: root },
  });
}

test('without npm that is what the set-up says', (context) => {
  const { status, stderr } = setUpWithoutNpm(context);
  assert.equal(status, 1);
  assert.match(stderr, /set-up stopped: missing: npm\nwhat to do: install npm/);
});

test('the set-up takes the modules that are there when it is told to', (context) => {
  const { status, stderr } = setUpWithoutNpm(context, '--no-npm');
  assert.equal(status, 1);
  assert.match(stderr, /set-up stopped: compiling src\/ failed/);
});
