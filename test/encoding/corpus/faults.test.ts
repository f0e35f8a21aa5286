import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { contentOf, MODEL, temporaryFolder, writeCorpus } from './corpus.js';
import { shardsIn, startEncoding, until } from './processes.js';

const folder = await temporaryFolder();
const corpus = join(folder, 'corpus.jsonl');
const whole = join(folder, 'whole');
const options = { rowsPerShard: 200, tokenBudget: 600, batch_ms: 4 };
const ROWS = 2000;

before(async () => {
  await writeCorpus(corpus, ROWS);
  assert.deepEqual((await startEncoding(corpus, whole, options).ended).result, {
    rows: ROWS,
    documents: ROWS,
  });
});

test('killed at random moments, again and again, a run ends with the same bytes', async () => {
  const output = join(folder, 'killed');
  let kills = 0;
  for (let documents: number | undefined; documents === undefined; ) {
    const begun = shardsIn(output);
    const { child, ended } = startEncoding(corpus, output, { ...options, resume: true });
    if (kills < 6) {
      // In the middle of a shard, or of the writing of one.
      await until(() => shardsIn(output) > begun || child.exitCode !== null);
      await sleep(Math.random() * 60);
      child.kill('SIGKILL');
      kills += 1;
    }
    const { status, result } = await ended;
    // As if it had been killed while it wrote the manifest.
    if (kills === 1) await writeFile(join(output, '.manifest.json.0123456789ab.tmp'), '');
    if (status === 0) documents = result.documents;
  }
  assert.ok(kills >= 3);
  assert.deepEqual(contentOf(output), contentOf(whole));
});

test('a disk that is full is a coded error, and the run goes on when there is room', async () => {
  const input = join(folder, 'growing.jsonl');
  const long = 'w9 '.repeat(100);
  const lines = Array.from({ length: 600 }, (_, n) => JSON.stringify({ text: n < 400 ? 'w9' : long }));
  await writeFile(input, `${lines.join('\n')}\n`);
  const output = join(folder, 'full');
  // The largest file that the process may write, in KiB: the texts of the third shard are beyond it.
  const shell = "trap '' XFSZ; ulimit -f 40;";
  const { result, status } = await startEncoding(input, output, options, { shell }).ended;
  assert.equal(status, 1);
  assert.equal(result.code, 'FILE_WRITE_FAILED');
  assert.match(result.hint ?? '', /space.*resume/);
  assert.equal(shardsIn(output), 2);
  const again = await startEncoding(input, output, { ...options, resume: true }).ended;
  assert.deepEqual(again.result, { rows: 600, documents: 200 });
  const whole = join(folder, 'roomy');
  await startEncoding(input, whole, options).ended;
  assert.deepEqual(contentOf(output), contentOf(whole));
});

test('SIGINT: the shard is finished, exit code 130, and --resume goes on; a second one ends at once', async () => {
  const output = join(folder, 'interrupted');
  const args = ['encode', '--model', MODEL, '--input', corpus, '--output', output];
  const settings = ['--rows-per-shard', '20', '--token-budget', '50'];
  const start = (...more: string[]) =>
    spawn(process.execPath, ['dist/cli/main.js', ...args, ...settings, ...more]);
  const child = start('--json');
  let printed = '';
  child.stdout.on('data', (chunk) => {
    printed += chunk;
  });
  await until(() => shardsIn(output) > 2);
  child.kill('SIGINT');
  assert.deepEqual(await once(child, 'close'), [130, null]);
  const { complete, rows } = JSON.parse(printed);
  assert.deepEqual([complete, rows % 20, rows], [false, 0, 20 * shardsIn(output)]);
  assert.ok(rows > 0 && rows < ROWS);
  assert.equal(JSON.parse(await readFile(join(output, 'manifest.incomplete.json'), 'utf8')).rows, rows);
  assert.deepEqual(
    (await readdir(join(output, '.progress'))).filter((name) => name.startsWith('writing')),
    [],
  );

  const twice = start('--resume');
  const begun = shardsIn(output);
  await until(() => shardsIn(output) > begun);
  twice.kill('SIGINT');
  for await (const chunk of twice.stderr) if (String(chunk).includes('once more')) break;
  twice.kill('SIGINT');
  assert.deepEqual((await once(twice, 'close'))[0], 130);
  const last = start('--resume');
  assert.deepEqual(await once(last, 'close'), [0, null]);
});

test('the standard input may be idle: SIGINT and a full disk end the run at once', async () => {
  const lines = readFileSync(corpus, 'utf8').split('\n');
  const start = (output: string, rows: number, shell = '') => {
    const argv = ['dist/cli/main.js', 'encode', '--model', MODEL, '--input', '-', '--input-format', 'jsonl'];
    const settings = ['--output', output, '--rows-per-shard', '300', '--tokenizer-threads', '1'];
    const child = spawn('bash', ['-c', `${shell} exec "$@"`, 'bash', process.execPath, ...argv, ...settings]);
    let printed = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk) => {
        printed += chunk;
      });
    child.stdin.on('error', () => {});
    child.stdin.write(`${lines.slice(0, rows).join('\n')}\n`);
    return { child, ended: once(child, 'close').then(([status]) => ({ status, printed })) };
  };
  const output = join(folder, 'idle');
  const { child, ended } = start(output, ROWS);
  // Then the run waits for the next shard's rows.
  await until(() => shardsIn(output) === 6);
  child.kill('SIGINT');
  const { status, printed } = await ended;
  assert.equal(status, 130, printed);
  assert.match(printed, /interrupted: 1800 .*start again with --overwrite/);

  const full = await start(join(folder, 'idle and full'), 400, "trap '' XFSZ; ulimit -f 20;").ended;
  assert.equal(full.status, 1, full.printed);
  assert.match(full.printed, /FILE_WRITE_FAILED/);
  assert.doesNotMatch(full.printed, /resume/);
});
