import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type TestContext, test } from 'node:test';
import { copyOfScripts, load } from './load.js';

/** A package whose set-up waits for one on another machine. */
function lockedPackage(context: TestContext): string {
  const root = copyOfScripts(context);
  cpSync('dist', join(root, 'dist'), { recursive: true });
  symlinkSync(resolve('node_modules'), join(root, 'node_modules'));
  mkdirSync(join(root, '.build'));
  const owner = { pid: 1, host: 'elsewhere', started: '1' };
  writeFileSync(join(root, '.build', 'setup.lock'), JSON.stringify(owner));
  return root;
}

/** Sends SIGTERM as soon as the set-up has said something. */
async function endWaiting(context: TestContext, args: string[]) {
  const child = spawn(process.execPath, args);
  let said = '';
  child.stderr.on('data', (text) => {
    said += text;
  });
  context.after(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  child.kill('SIGTERM');
  const [status] = await once(child, 'close');
  return { status, said };
}

test('a signal ends a set-up that waits for another one', async (context) => {
  const { status, said } = await endWaiting(context, [join(lockedPackage(context), 'scripts/setup.mjs')]);
  assert.equal(status, 143);
  assert.match(said, /set-up interrupted; run it again/);
});

test('a signal to `xlembed setup` ends the set-up, not its caller alone', async (context) => {
  const { status, said } = await endWaiting(context, [
    join(lockedPackage(context), 'dist/cli/main.js'),
    'setup',
  ]);
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
