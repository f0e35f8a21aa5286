import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../encoding/corpus/processes.js';
import { temporaryFolder, xlembed } from './run.js';

const MODEL = 'test/reference/encoder/xlm-roberta';
const folder = temporaryFolder();
const at = (name: string) => join(folder, name);
const records = Array.from({ length: 40 }, (_, n) => ({
  id: `p${n}`,
  query: { en: `w${10 + n}`, de: `w${30 + n}` },
  positive: { en: `w${50 + n} w9`, de: `w${70 + n} w8` },
}));
writeFileSync(at('pairs.jsonl'), records.map((record) => `${JSON.stringify(record)}\n`).join(''));

const STEPS = 100;
const command = (output: string, ...more: string[]) => [
  ...['train', '--config', `${MODEL}/config.json`, '--tokenizer', `${MODEL}/tokenizer.json`],
  ...['--data', at('pairs.jsonl'), '--batch-size', '9', '--steps', String(STEPS), '--seed', '3'],
  ...['--checkpoint-every', '7', '--eval-records', '8', '--eval-every', '25'],
  ...['--process-timeout', '120', '--output', output, ...more],
];

interface Process {
  child: ChildProcess;
  ended: Promise<{ status: number | null; stdout: string; stderr: string }>;
}

/** The processes of one job, as a launcher starts them; the last one may have more arguments. */
async function start(size: number, args: string[], ofLast: string[] = []): Promise<[Process, ...Process[]]> {
  const port = String(await freePort());
  const ranks = Array.from({ length: size }, (_, rank) => rank);
  const processes = ranks.map((rank) => {
    const launch = {
      WORLD_SIZE: String(size),
      RANK: String(rank),
      MASTER_ADDR: '127.0.0.1',
      MASTER_PORT: port,
    };
    const child = spawn(
      process.execPath,
      ['dist/cli/main.js', ...args, ...(rank === size - 1 ? ofLast : [])],
      {
        env: { ...process.env, ...launch, OMP_NUM_THREADS: '1' },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    let [stdout, stderr] = ['', ''];
    child.stdout!.on('data', (text) => {
      stdout += text;
    });
    child.stderr!.on('data', (text) => {
      stderr += text;
    });
    return { child, ended: once(child, 'close').then(([status]) => ({ status, stdout, stderr })) };
  });
  return processes as [Process, ...Process[]];
}

/** All of them end with the status, and say what is expected. */
async function end(processes: readonly Process[], expected: number, says = /(?:)/): Promise<void> {
  for (const { ended } of processes) {
    const { status, stderr } = await ended;
    assert.equal(status, expected, stderr);
    assert.match(stderr, says);
  }
}

async function run(size: number, args: string[]): Promise<void> {
  await end(await start(size, args), 0);
}

function loggedSteps(output: string): number {
  const path = join(`${output}.partial`, 'training_log.jsonl');
  return existsSync(path) ? readFileSync(path, 'utf8').split('\n').length - 1 : 0;
}

/** Starts two processes, and returns when they have taken some steps more than any before them. */
async function startAndWait(output: string, ...more: string[]): Promise<[Process, Process]> {
  const enough = loggedSteps(output) + 8;
  const [first, second] = await start(2, command(output, ...more));
  while (first.child.exitCode === null && loggedSteps(output) < enough) await sleep(2);
  return [first, second!];
}

const log = (output: string) =>
  readFileSync(join(output, 'training_log.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
    .map(({ step, loss, pairs, tokens, validation }) => ({ step, loss, pairs, tokens, validation }));
const checkpointSteps = (output: string) =>
  readdirSync(join(`${output}.partial`, 'checkpoints'))
    .map((name) => Number(/\d+$/.exec(name)))
    .sort((a, b) => a - b);
const weights = (output: string) => readFileSync(join(output, 'model.safetensors'));

const whole = at('whole');

test('two processes log what one does', async () => {
  await run(2, command(whole));
  const alone = xlembed(...command(at('alone')));
  assert.equal(alone.status, 0, alone.stderr);
  const [expected, actual] = [log(at('alone')), log(whole)];
  assert.equal(actual.length, STEPS);
  actual.forEach((step, n) => {
    const { loss, validation, ...rest } = expected[n]!;
    assert.ok(Math.abs(step.loss - loss) <= 1e-4 * loss, `step ${n}: ${step.loss} for ${loss}`);
    assert.deepEqual({ step: step.step, pairs: step.pairs, tokens: step.tokens }, rest);
    assert.deepEqual(Object.keys(step.validation ?? {}), Object.keys(validation ?? {}));
  });
  assert.ok(!existsSync(`${whole}.partial`));
});

// One run, which goes on from where the test before has left it.
const disturbed = at('disturbed');
for (const lost of [1, 0]) {
  test(`rank ${lost} is killed: the other ends with PROCESS_LOST, and a checkpoint is there`, async () => {
    const processes = await startAndWait(disturbed, '--resume');
    processes[lost]!.child.kill('SIGKILL');
    await end([processes[1 - lost]!], 1, /PROCESS_LOST/);
    await processes[lost]!.ended;
    assert.ok(checkpointSteps(disturbed).length > 0);
  });
}

for (const ranks of [[1], [0, 1]]) {
  test(`SIGTERM to rank ${ranks}: all end the same step, write it as a checkpoint, and exit with 143`, async () => {
    const processes = await startAndWait(disturbed, '--resume');
    for (const rank of ranks) processes[rank]!.child.kill('SIGTERM');
    await end(processes, 143);
    assert.equal(checkpointSteps(disturbed).at(-1), loggedSteps(disturbed));
  });
}

test('after all that a resume ends with the log and the bits of a run that nobody disturbed', async () => {
  assert.ok(loggedSteps(disturbed) < STEPS);
  await run(2, command(disturbed, '--resume'));
  assert.ok(weights(disturbed).equals(weights(whole)));
  assert.deepEqual(log(disturbed), log(whole));
});

test('processes that save, evaluate or watch otherwise end before the first step', async () => {
  for (const [ofLast, says] of [
    [['--checkpoint-every', '8'], /PROCESSES_DIFFER: rank 1 and rank 0 differ in how often the run is saved/],
    [['--eval-every', '50'], /PROCESSES_DIFFER: .* in how often it is evaluated/],
    [['--watch', 'accuracy'], /PROCESSES_DIFFER: .* in the watched measure/],
  ] as const) {
    await end(await start(2, command(at('differing'), '--overwrite'), [...ofLast]), 1, says);
    assert.equal(loggedSteps(at('differing')), 0);
  }
});

test('a stuck process ends the others with PROCESS_LOST after the timeout, and itself once it runs again', async () => {
  const [first, second] = await startAndWait(at('stuck'), '--process-timeout', '8');
  second.child.kill('SIGSTOP');
  await end([first], 1, /PROCESS_LOST/);
  second.child.kill('SIGCONT');
  await end([second], 1, /PROCESS_LOST/);
});

test('of the processes that embed a corpus together rank 0 prints the result', async () => {
  writeFileSync(at('corpus.txt'), 'w9 w10\n'.repeat(50));
  const input = ['--input', at('corpus.txt'), '--rows-per-shard', '10', '--duplicates', 'count'];
  const processes = await start(2, [
    'encode',
    '--model',
    MODEL,
    ...input,
    '--output',
    at('corpus'),
    '--json',
  ]);
  await end(processes, 0);
  const [first, second] = await Promise.all(processes.map(({ ended }) => ended));
  assert.equal(JSON.parse(first!.stdout).rows, 50);
  assert.equal(second!.stdout, '');
});
