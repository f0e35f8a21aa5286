import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryFolder, xlembed } from './run.js';

const MODEL = 'test/reference/encoder/xlm-roberta';
const folder = temporaryFolder();
const at = (name: string) => join(folder, name);

const records = Array.from({ length: 60 }, (_, n) => ({
  id: `p${n}`,
  query: { en: `w${10 + n}`, de: `w${30 + n} w4` },
  positive: { en: `w${10 + n} w9`, de: `w${30 + n} w8`, el: `w${20 + n}` },
}));
writeFileSync(at('pairs.jsonl'), records.map((record) => `${JSON.stringify(record)}\n`).join(''));

const command = (output: string, ...more: string[]) => [
  ...['mine', '--model', MODEL, '--data', at('pairs.jsonl'), '--output', output, '--ranks', '2-20'],
  ...['--negatives', '3', '--hold-out', 'el', ...more],
];

test('mined records train; held-out languages are in none of them', () => {
  const output = at('mined.jsonl');
  const mined = xlembed(...command(output, '--json'));
  assert.equal(mined.status, 0, mined.stderr);
  const { records: written, negatives, passages } = JSON.parse(mined.stdout);
  assert.deepEqual([written, negatives, passages], [60, 360, 120]);
  const lines = readFileSync(output, 'utf8').trim().split('\n');
  for (const [n, line] of lines.entries()) {
    const { id, query, negatives } = JSON.parse(line);
    assert.deepEqual([id, query], [records[n]!.id, records[n]!.query]);
    assert.deepEqual(Object.keys(negatives).sort(), ['de', 'en']);
  }
  assert.equal(xlembed(...command(output)).status, 1, 'an existing file is not replaced');
  const data = ['--data', output, '--hold-out', 'el', '--negatives', '2', '--steps', '3'];
  const trained = xlembed('train', '--model', MODEL, ...data, '--batch-size', '4', '--output', at('model'));
  assert.equal(trained.status, 0, trained.stderr);
  assert.match(trained.stderr, /held out: el \(60 texts\)/);
});

test('killed, the same command goes on: embedded passages and whole lines are kept', async () => {
  const output = at('killed.jsonl');
  const passages = join(`${output}.partial`, 'passages');
  const child = spawn(process.execPath, ['dist/cli/main.js', ...command(output)], { stdio: 'ignore' });
  while (child.exitCode === null && !existsSync(passages)) {
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  child.kill('SIGKILL');
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  const whole = readFileSync(at('mined.jsonl'), 'utf8');
  if (existsSync(passages)) {
    const lines = whole.split('\n').slice(0, 7).join('\n');
    writeFileSync(join(`${output}.partial`, 'records.jsonl'), `${lines}\n{"id":"p7","que`);
    const again = xlembed(...command(output));
    assert.equal(again.status, 0, again.stderr);
    assert.match(again.stderr, /7 records are there/);
    assert.match(again.stdout, /for 53 records; .*; 7 records from an earlier run; /);
    assert.doesNotMatch(again.stderr, /embedding passages/);
  }
  assert.equal(readFileSync(output, 'utf8'), whole);
  assert.ok(!existsSync(`${output}.partial`));
});

test('interrupted, it says how to go on; while one is at work another is refused', async () => {
  const output = at('interrupted.jsonl');
  const child = spawn(process.execPath, ['dist/cli/main.js', ...command(output, '--json')]);
  let stdout = '';
  child.stdout.on('data', (text) => {
    stdout += text;
  });
  const records = join(`${output}.partial`, 'records.jsonl');
  while (child.exitCode === null && !existsSync(records)) await new Promise(setImmediate);
  child.kill('SIGSTOP');
  const second = xlembed(...command(output));
  child.kill('SIGINT');
  child.kill('SIGCONT');
  const [code] = await once(child, 'exit');
  assert.equal(second.status, 1, second.stderr);
  assert.match(second.stderr, new RegExp(`FILE_EXISTS: a run is at work in .*process ${child.pid}`));
  assert.equal(JSON.parse(stdout).interrupted, code === 130);
  if (code === 130) assert.equal(xlembed(...command(output)).status, 0);
  assert.equal(readFileSync(output, 'utf8'), readFileSync(at('mined.jsonl'), 'utf8'));
});

test('a full disk, and an output that cannot be written, are coded errors; the run goes on when there is room', () => {
  const output = at('full.jsonl');
  const script = `trap '' XFSZ; ulimit -f 2; exec "$@"`;
  const args = ['-c', script, 'bash', process.execPath, 'dist/cli/main.js', ...command(at('mined.jsonl'))];
  args.push('--output', output);
  const full = spawnSync('bash', args, { encoding: 'utf8', timeout: 120_000 });
  assert.equal(full.status, 1, full.stderr);
  assert.match(full.stderr, /FILE_WRITE_FAILED/);
  const again = xlembed(...command(output));
  assert.equal(again.status, 0, again.stderr);
  assert.equal(readFileSync(output, 'utf8'), readFileSync(at('mined.jsonl'), 'utf8'));
  const nowhere = xlembed(...command(join(output, 'mined.jsonl')));
  assert.equal(nowhere.status, 1);
  assert.match(nowhere.stderr, /FILE_WRITE_FAILED/);
});

test('wrong ranks are wrong usage', () => {
  assert.equal(xlembed(...command(at('x.jsonl'), '--ranks', '7')).status, 2);
  assert.match(xlembed(...command(at('x.jsonl'), '--ranks', '9-3')).stderr, /INVALID_ARGUMENT.*ranks/);
});
