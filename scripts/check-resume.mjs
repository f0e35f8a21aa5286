#!/usr/bin/env node
// What `xlembed train --resume` promises: a run that is killed again and again ends with the weights of one that never
// was. A tiny model with dropout, hybrid batches, code switching and gradients of two batches to a step. Run by hand.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root } from './setup/shared.mjs';

const usage = `usage: node scripts/check-resume.mjs [--kills N] [--steps N] [--folder DIR]

  --kills N      SIGKILLs, every other one at a random step, the rest while a checkpoint is written (default 20)
  --steps N      of the run (default 20 for each kill)
  --folder DIR   for data and models (default .build/check-resume)`;

const model = join(root, 'test', 'reference', 'encoder', 'xlm-roberta');

function makeData(folder) {
  const records = Array.from({ length: 40 }, (_, n) => ({
    id: `p${n}`,
    query: { en: `w${10 + n}`, de: `w${30 + n}` },
    positive: { en: `w${50 + n} w9`, de: `w${70 + n} w8` },
  }));
  writeFileSync(join(folder, 'pairs.jsonl'), records.map((record) => `${JSON.stringify(record)}\n`).join(''));
  writeFileSync(
    join(folder, 'words.tsv'),
    records.map((_, n) => `w${10 + n}\tw${20 + n}|w${21 + n}\n`).join(''),
  );
}

function start(folder, output, steps) {
  const argv = [
    ...[join(root, 'dist', 'cli', 'main.js'), 'train', '--resume', '--output', output],
    ...['--config', join(model, 'config.json'), '--tokenizer', join(model, 'tokenizer.json')],
    ...['--data', join(folder, 'pairs.jsonl'), '--lexicon', `en-fr=${join(folder, 'words.tsv')}`],
    ...['--batch-size', '8', '--accumulate', '2', '--steps', String(steps), '--checkpoint-every', '5'],
    ...['--eval-records', '8', '--eval-every', '40', '--json'],
  ];
  const child = spawn(process.execPath, argv, { stdio: ['ignore', 'ignore', 'pipe'] });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    child.said = `${child.said ?? ''}${text}`.slice(-2000);
  });
  return child;
}

/** Exit code, null after a kill. Throws what the run said when it failed. */
async function ended(child) {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  if (child.exitCode) throw new Error(`the run ended with ${child.exitCode}: ${child.said}`);
  return child.exitCode;
}

const steps = (output) => {
  const log = join(`${output}.partial`, 'training_log.jsonl');
  return existsSync(log) ? readFileSync(log, 'utf8').split('\n').length - 1 : 0;
};

const writing = (output) => {
  const checkpoints = join(`${output}.partial`, 'checkpoints');
  return existsSync(checkpoints) && readdirSync(checkpoints).some((name) => name.endsWith('.tmp'));
};

/** True when the process was running still when it was killed. */
async function killSoon(child, output, atStep) {
  const goal = steps(output) + 1 + Math.floor(Math.random() * 15);
  const due = () => (atStep ? steps(output) >= goal : writing(output));
  while (child.exitCode === null && !due()) await new Promise((resolve) => setTimeout(resolve, 1));
  return child.exitCode === null && child.kill('SIGKILL');
}

const digest = (output) =>
  createHash('sha256')
    .update(readFileSync(join(output, 'model.safetensors')))
    .digest('hex');

async function check(kills, total, folder) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  makeData(folder);
  const [whole, killed] = ['whole', 'killed'].map((name) => join(folder, name));
  await ended(start(folder, whole, total));

  const at = [];
  while (!existsSync(killed)) {
    const child = start(folder, killed, total);
    if (at.length < kills && (await killSoon(child, killed, at.length % 2 === 0))) at.push(steps(killed));
    await ended(child);
  }
  const same = digest(whole) === digest(killed);
  console.log(`killed ${at.length} times, after steps ${at.join(', ')} of ${total}`);
  console.log(
    `${same ? 'the same weights' : 'OTHER WEIGHTS'}: sha256 ${digest(whole)} and ${digest(killed)}`,
  );
  process.exitCode = same && at.length === kills ? 0 : 1;
}

const string = { type: 'string' };
const { values } = parseArgs({
  options: { kills: string, steps: string, folder: string, help: { type: 'boolean' } },
});
if (values.help) console.log(usage);
else {
  const kills = Number(values.kills ?? 20);
  const folder = values.folder ?? join(root, '.build', 'check-resume');
  await check(kills, Number(values.steps ?? 20 * (kills + 1)), folder);
}
