import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
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

const STEPS = 30;
const command = (output: string, ...more: string[]) => [
  ...['train', '--config', `${MODEL}/config.json`, '--tokenizer', `${MODEL}/tokenizer.json`],
  ...['--data', at('pairs.jsonl'), '--batch-size', '9', '--steps', String(STEPS), '--seed', '3'],
  ...['--checkpoint-every', '7', '--eval-records', '8', '--eval-every', '10'],
  ...['--process-timeout', '120', '--output', output, ...more],
];

interface Process {
  child: ChildProcess;
  ended: Promise<{ status: number | null; stderr: string }>;
}

/** The processes of one job, as a launcher starts them. */
async function start(size: number, args: string[]): Promise<Process[]> {
  const port = String(await freePort());
  return Array.from({ length: size }, (_, rank) => {
    const launch = {
      WORLD_SIZE: String(size),
      RANK: String(rank),
      MASTER_ADDR: '127.0.0.1',
      MASTER_PORT: port,
    };
    const child = spawn(process.execPath, ['dist/cli/main.js', ...args], {
      env: { ...process.env, ...launch, OMP_NUM_THREADS: '1' },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let stderr = '';
    child.stderr!.on('data', (text) => {
      stderr += text;
    });
    return { child, ended: once(child, 'close').then(([status]) => ({ status, stderr })) };
  });
}

async function run(size: number, args: string[]): Promise<void> {
  for (const { ended } of await start(size, args)) {
    const { status, stderr } = await ended;
    assert.equal(status, 0, stderr);
  }
}

function loggedSteps(output: string): number {
  const path = join(`${output}.partial`, 'training_log.jsonl');
  return existsSync(path) ? readFileSync(path, 'utf8').split('\n').length - 1 : 0;
}

async function untilLogged(
  output: string,
  steps: number,
  [{ child }]: [Process, ...Process[]],
): Promise<void> {
  while (child.exitCode === null && loggedSteps(output) < steps) {
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

const log = (output: string) =>
  readFileSync(join(output, 'training_log.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
    .map(({ step, loss, pairs, tokens, validation }) => ({ step, loss, pairs, tokens, validation }));
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

for (const lost of [1]) {
  test(`rank ${lost} is killed: the other ends with PROCESS_LOST, and a resume ends with the same bits`, async () => {
    const output = at(`lost-${lost}`);
    const processes = await start(2, command(output));
    await untilLogged(output, 10, processes as [Process, ...Process[]]);
    processes[lost]!.child.kill('SIGKILL');
    const { status, stderr } = await processes[1 - lost]!.ended;
    assert.equal(status, 1, stderr);
    assert.match(stderr, /PROCESS_LOST/);
    await processes[lost]!.ended;
    assert.ok(readdirSync(join(`${output}.partial`, 'checkpoints')).length > 0);
    await run(2, command(output, '--resume'));
    assert.ok(weights(output).equals(weights(whole)));
    assert.deepEqual(log(output), log(whole));
  });
}
