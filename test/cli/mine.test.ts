import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
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

/** Kills a run as soon as a file is there that it keeps for the next. */
async function killWhenThere(path: string, ...args: string[]): Promise<void> {
  const child = spawn(process.execPath, ['dist/cli/main.js', ...args], { stdio: 'ignore' });
  while (child.exitCode === null && !existsSync(path)) {
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  child.kill('SIGKILL');
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
}

test('killed, the same command goes on: whole lines are kept', async () => {
  const output = at('killed.jsonl');
  const passages = join(`${output}.partial`, 'passages');
  await killWhenThere(passages, ...command(output));
  const whole = readFileSync(at('mined.jsonl'), 'utf8');
  if (existsSync(passages)) {
    const lines = whole.split('\n').slice(0, 7).join('\n');
    writeFileSync(join(`${output}.partial`, 'records.jsonl'), `${lines}\n{"id":"p7","que`);
    const again = xlembed(...command(output));
    assert.equal(again.status, 0, again.stderr);
    assert.match(again.stderr, /7 records are there/);
    assert.match(again.stdout, /for 53 records; .*; 7 records from an earlier run; /);
  }
  assert.equal(readFileSync(output, 'utf8'), whole);
  assert.ok(!existsSync(`${output}.partial`));
});

test('killed while it embeds passages, the same command embeds the others alone', async () => {
  const many = Array.from({ length: 5000 }, (_, n) => ({
    query: { en: `w${n % 90}` },
    positive: { en: `w${n % 71} w${n % 97} n${n}` },
  }));
  writeFileSync(at('many.jsonl'), many.map((record) => `${JSON.stringify(record)}\n`).join(''));
  const output = at('many-mined.jsonl');
  const args = [...command(output), '--data', at('many.jsonl')];
  const passages = join(`${output}.partial`, 'passages');
  const kept = () =>
    (existsSync(passages) ? readdirSync(passages) : []).filter((name) => name.endsWith('.npy'));
  const times = () => kept().map((name) => statSync(join(passages, name)).mtimeMs);
  const child = spawn(process.execPath, ['dist/cli/main.js', ...args], { stdio: 'ignore' });
  while (child.exitCode === null && kept().length === 0)
    await new Promise((resolve) => setTimeout(resolve, 1));
  child.kill('SIGKILL');
  await once(child, 'exit');
  const [first] = times();
  await killWhenThere(join(`${output}.partial`, 'records.jsonl'), ...args);
  assert.equal(times().length, 2);
  assert.equal(Math.min(...times()), first);
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
  const overFolder = xlembed(...command(folder, '--overwrite'));
  assert.match(overFolder.stderr, /FILE_WRITE_FAILED: .* is a folder/);
  assert.ok(!existsSync(`${folder}.partial`), 'refused before any work');
});

test('wrong ranks are wrong usage; an output with the name of an archive is refused', () => {
  assert.match(xlembed(...command(at('x.jsonl.gz'))).stderr, /INVALID_ARGUMENT.*without \.gz or \.zst/);
  assert.equal(xlembed(...command(at('x.jsonl'), '--ranks', '7')).status, 2);
  assert.match(xlembed(...command(at('x.jsonl'), '--ranks', '9-3')).stderr, /INVALID_ARGUMENT.*ranks/);
});
