import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { load, temporaryFolder } from './load.js';

const { acquireLock } = await load('scripts/setup/lock.mjs');

test('a second holder waits until the first has let go', async (context) => {
  const path = join(temporaryFolder(context), 'lock');
  const order: string[] = [];
  const release = await acquireLock(path);
  const second = acquireLock(path, { say: (text: string) => order.push(text) }).then((free: () => void) => {
    order.push('second');
    free();
  });
  await new Promise((resolve) => setTimeout(resolve, 500));
  order.push('released');
  release();
  await second;
  assert.match(order[0] ?? '', /waiting for the set-up that process \d+/);
  assert.deepEqual(order.slice(1), ['released', 'second']);
  assert.equal(existsSync(path), false);
});

test('the lock of a killed process is taken over', async (context) => {
  const folder = temporaryFolder(context);
  const path = join(folder, 'lock');
  const module = pathToFileURL('scripts/setup/lock.mjs').href;
  const program = `import { acquireLock } from '${module}'; await acquireLock('${path}'); console.log('held'); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program]);
  await once(child.stdout, 'data');
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.ok(existsSync(path));
  const release = await acquireLock(path, { timeout_ms: 5000 });
  release();
  assert.deepEqual(readdirSync(folder), []);
});

test('a reused process number does not keep a dead lock alive', async (context) => {
  const path = join(temporaryFolder(context), 'lock');
  writeFileSync(path, JSON.stringify({ pid: process.pid, host: hostname(), started: '1' }));
  const release = await acquireLock(path, { timeout_ms: 0 });
  release();
});

test('a lock of another host is respected, and the message names the file', async (context) => {
  const path = join(temporaryFolder(context), 'lock');
  writeFileSync(path, JSON.stringify({ pid: 1, host: 'elsewhere', started: '1' }));
  await assert.rejects(acquireLock(path, { timeout_ms: 0 }), (error: Error) => error.message.includes(path));
  const said: string[] = [];
  await assert.rejects(acquireLock(path, { timeout_ms: 300, say: (text: string) => said.push(text) }));
  assert.deepEqual(said, [
    'waiting for the set-up that process 1 on elsewhere runs here',
    `(if it no longer runs, remove ${path})`,
  ]);
});
