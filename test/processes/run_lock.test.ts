import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { RunLock } from '#xlembed/processes/run_lock.js';

const folder = mkdtempSync(join(tmpdir(), 'xlembed-'));
after(() => rmSync(folder, { recursive: true }));

/** A folder with the lock of a process that is gone, or without one. */
function round(n: number, dead: boolean): string {
  const path = join(folder, String(n));
  mkdirSync(join(path, 'lock'), { recursive: true });
  if (dead) writeFileSync(join(path, 'lock', 'owner'), `${process.pid} 1`);
  else rmSync(join(path, 'lock'), { recursive: true });
  return path;
}

const RACER = `
  import { RunLock } from '#xlembed/processes/run_lock.js';
  const [begin, ...folders] = process.argv.slice(1);
  for (const [n, folder] of folders.entries()) {
    while (Date.now() < Number(begin) + 30 * n);
    const lock = new RunLock(folder, folder + '/lock');
    process.stdout.write(await lock.take().then(() => 'taken ', ({ code, message }) => (code ?? message) + ' '));
  }
  // What a process that has ended holds is free.
  setTimeout(() => {}, 1500);`;

test('of processes that begin in one moment one has the lock, whether or not a dead one has left its own', async () => {
  const folders = Array.from({ length: 40 }, (_, n) => round(n, n % 2 === 1));
  const args = ['--input-type=module', '--eval', RACER, String(Date.now() + 1500), ...folders];
  const racers = Array.from({ length: 3 }, () => spawn(process.execPath, args));
  const said = await Promise.all(racers.map(async (racer) => (await text(racer.stdout)).trim().split(' ')));
  for (const n of folders.keys()) {
    const outcomes = said.map((outcomes) => outcomes[n]).sort();
    assert.deepEqual(outcomes, ['FILE_EXISTS', 'FILE_EXISTS', 'taken'], `round ${n}`);
  }
});

test('a lock that is released leaves nothing, and one that is refused leaves that of the other', async () => {
  const path = round(100, true);
  const [lock, other] = [1, 2].map(() => new RunLock(path, join(path, 'lock')));
  await lock!.take();
  writeFileSync(join(path, 'file'), '');
  await assert.rejects(other!.take(), { code: 'FILE_EXISTS', message: new RegExp(`process ${process.pid}`) });
  await other!.release();
  await assert.rejects(other!.requireFree(), { code: 'FILE_EXISTS' });
  await lock!.clear();
  await assert.rejects(other!.requireFree(), { code: 'FILE_EXISTS' });
  await lock!.release();
  assert.deepEqual(readdirSync(path), []);
  await other!.take();
});

test('a lock of a version before, a file, is taken over, and a folder that names nobody is an error', async () => {
  const path = round(101, false);
  writeFileSync(join(path, 'lock'), `${process.pid} 1`);
  const lock = new RunLock(path, join(path, 'lock'));
  await lock.take();
  await lock.release();
  mkdirSync(join(path, 'lock', 'something'), { recursive: true });
  await assert.rejects(lock.take(), /lock names no process; remove it/);
});
