import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { copyOfScripts, load } from './load.js';

test('a signal ends a set-up that waits for another one', async (context) => {
  const root = copyOfScripts(context);
  mkdirSync(join(root, '.build'));
  const owner = { pid: 1, host: 'elsewhere', started: '1' };
  writeFileSync(join(root, '.build', 'setup.lock'), JSON.stringify(owner));
  const child = spawn(process.execPath, [join(root, 'scripts/setup.mjs')]);
  let said = '';
  child.stderr.on('data', (text) => {
    said += text;
  });
  context.after(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  child.kill('SIGTERM');
  const [status] = await once(child, 'close');
  assert.equal(status, 143);
  assert.match(said, /set-up interrupted; run it again/);
});

test('after a signal nothing goes on, also where a tool may fail', async (context) => {
  const { createSetup, interrupt } = await load(join(copyOfScripts(context), 'scripts/setup/shared.mjs'));
  const setup = createSetup({ quiet: true });
  const step = setup.step('FAISS', async () => {
    await setup.run('sleep', ['60']).catch(() => {});
    return [undefined, 'left out'];
  });
  assert.equal(interrupt(), true);
  await assert.rejects(step, /interrupted/);
  await assert.rejects(setup.run('true', []), /interrupted/);
  assert.equal(interrupt(), false);
});
