import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { RandomStream } from '#xlembed/batches/philox.js';
import { temporaryFolder, xlembed } from './run.js';

const MODEL = 'test/reference/encoder/xlm-roberta';
const folder = temporaryFolder();
const at = (name: string) => join(folder, name);
const json = (path: string) => JSON.parse(readFileSync(path, 'utf8'));

const records = Array.from({ length: 40 }, (_, n) => ({
  id: `p${n}`,
  query: { en: `w${10 + n}`, de: `w${30 + n}` },
  positive: { en: `w${50 + n} w9`, de: `w${70 + n} w8` },
}));
writeFileSync(at('pairs.jsonl'), records.map((record) => `${JSON.stringify(record)}\n`).join(''));
writeFileSync(at('words.tsv'), records.map((_, n) => `w${10 + n}\tw${90 + n}|w${91 + n}\n`).join(''));

const STEPS = 60;
const command = (output: string, ...more: string[]) => [
  ...['train', '--config', `${MODEL}/config.json`, '--tokenizer', `${MODEL}/tokenizer.json`],
  ...['--data', at('pairs.jsonl'), '--batch-size', '8', '--steps', String(STEPS), '--seed', '3'],
  ...['--lexicon', `en-fr=${at('words.tsv')}`, '--checkpoint-every', '4'],
  ...['--eval-records', '8', '--eval-every', '20', '--output', output, ...more],
];
const start = (...args: string[]) =>
  spawn(process.execPath, ['dist/cli/main.js', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });

const logOf = (output: string) => join(`${output}.partial`, 'training_log.jsonl');
const loggedSteps = (output: string) =>
  existsSync(logOf(output)) ? readFileSync(logOf(output), 'utf8').split('\n').length - 1 : 0;
const writing = (output: string) => {
  const checkpoints = join(`${output}.partial`, 'checkpoints');
  return existsSync(checkpoints) && readdirSync(checkpoints).some((name) => name.endsWith('.tmp'));
};

/** Waits for `happens` or the end of the process, whichever comes first. */
async function until(child: ChildProcess, happens: () => boolean): Promise<void> {
  while (child.exitCode === null && !happens()) await new Promise((resolve) => setTimeout(resolve, 1));
}

const lossesOf = (output: string) =>
  readFileSync(join(output, 'training_log.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
    .map(({ step, loss, switched, validation }) => ({ step, loss, switched, validation }));

const whole = at('whole');

test('killed at random steps and while writing checkpoints, a run ends with the bits of one that was not', async () => {
  const uninterrupted = xlembed(...command(whole));
  assert.equal(uninterrupted.status, 0, uninterrupted.stderr);
  assert.ok(!existsSync(`${whole}.partial`));

  const output = at('killed');
  const random = new RandomStream(7, 0);
  let kills = 0;
  for (let attempt = 0; attempt < 6; attempt++) {
    const child = start(...command(output, '--resume'));
    const begun = loggedSteps(output);
    const stop = begun + 1 + random.below(12);
    await until(child, () => (attempt % 2 === 0 ? loggedSteps(output) > stop : writing(output)));
    if (child.exitCode === null) kills += 1;
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }
  assert.ok(kills >= 4, `${kills} kills`);
  if (!existsSync(output)) {
    const last = xlembed(...command(output, '--resume'));
    assert.equal(last.status, 0, last.stderr);
  }
  const weights = (path: string) => readFileSync(join(path, 'model.safetensors'));
  assert.ok(weights(output).equals(weights(whole)));
  assert.deepEqual(lossesOf(output), lossesOf(whole));
  assert.deepEqual([lossesOf(output).length, json(join(output, 'training.json')).steps], [STEPS, STEPS]);
  assert.match(readFileSync(join(output, 'report.html'), 'utf8'), /Evaluation during training/);
  assert.ok(!existsSync(`${output}.partial`));
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.startsWith('.killed')),
    [],
  );
});

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  test(`${signal}: the step ends, a checkpoint is written, the exit code is ${code}`, async () => {
    const output = at(signal);
    const child = start(...command(output, '--json'));
    let stdout = '';
    child.stdout!.on('data', (text) => {
      stdout += text;
    });
    await until(child, () => loggedSteps(output) > 5);
    child.kill(signal);
    assert.equal((await once(child, 'exit'))[0], code);
    const { interrupted, steps, checkpoint } = JSON.parse(stdout);
    assert.equal(interrupted, true);
    assert.equal(json(join(checkpoint, 'state.json')).step, steps);
    assert.equal(loggedSteps(output), steps);
    assert.ok(!existsSync(output));

    const careless = xlembed(...command(output));
    assert.equal(careless.status, 1);
    assert.match(careless.stderr, /FILE_EXISTS.*interrupted.*--resume/s);
    const refused = xlembed(...command(output, '--resume', '--temperature', '0.1'));
    assert.match(refused.stderr, /RESUME_REFUSED.*temperature was 0\.05 and is now 0\.1/);
    const resumed = xlembed(...command(output, '--resume'));
    assert.equal(resumed.status, 0, resumed.stderr);
    assert.match(resumed.stderr, new RegExp(`resumed after step ${steps}`));
    assert.deepEqual(lossesOf(output), lossesOf(whole));
  });
}

/** A shell whose files may not grow past the limit: writing fails as on a full disk, EFBIG in place of ENOSPC. */
function withFileLimit(blocks: number, args: string[]) {
  const script = `trap '' XFSZ; ulimit -f ${blocks}; exec "$@"`;
  return spawnSync('bash', ['-c', script, 'bash', process.execPath, 'dist/cli/main.js', ...args], {
    encoding: 'utf8',
    timeout: 120_000,
  });
}

test('a full disk ends the run with a coded error; the last good checkpoint stays and serves', async () => {
  const output = at('full');
  const child = start(...command(output));
  await until(child, () => loggedSteps(output) > 9);
  child.kill('SIGINT');
  await once(child, 'exit');
  const checkpoints = join(`${output}.partial`, 'checkpoints');
  const before = readdirSync(checkpoints).sort();
  const newest = join(checkpoints, before.at(-1)!);
  const bytes = readFileSync(join(newest, 'weights.safetensors')).length;

  const fullLog = withFileLimit(1, [...command(at('full log')), '--checkpoint-every', '1000']);
  assert.equal(fullLog.status, 1, fullLog.stderr);
  assert.match(fullLog.stderr, /FILE_WRITE_FAILED: .*training_log\.jsonl/);
  const full = withFileLimit(Math.floor(bytes / 1024 / 2), command(output, '--resume'));
  assert.equal(full.status, 1, full.stderr);
  assert.match(full.stderr, /FILE_WRITE_FAILED/);
  assert.deepEqual(readdirSync(checkpoints).sort(), before);
  assert.ok(existsSync(join(newest, 'state.json')));

  const resumed = xlembed(...command(output, '--resume'));
  assert.equal(resumed.status, 0, resumed.stderr);
  assert.deepEqual(lossesOf(output), lossesOf(whole));
});

test('a second run with the output of one at work is refused', async () => {
  const output = at('twice');
  const child = start(...command(output));
  await until(child, () => loggedSteps(output) > 1);
  child.kill('SIGSTOP');
  for (const how of ['--overwrite', '--resume']) {
    const second = xlembed(...command(output, how));
    assert.equal(second.status, 1);
    assert.match(second.stderr, new RegExp(`FILE_EXISTS: a run is at work in .*process ${child.pid}`));
  }
  child.kill('SIGCONT');
  assert.equal((await once(child, 'exit'))[0], 0);
  assert.deepEqual(lossesOf(output), lossesOf(whole));
});

test('progress that nobody reads any more ends no run; a result that cannot be written is an error', () => {
  const output = at('unseen');
  const script = '("$@"; echo $? > "$0") 2>&1 | head -n 1';
  const run = (script: string, args: string[]) =>
    spawnSync('bash', ['-c', script, at('code'), process.execPath, 'dist/cli/main.js', ...args], {
      encoding: 'utf8',
      timeout: 120_000,
    });
  run(script, command(output));
  assert.equal(readFileSync(at('code'), 'utf8'), '0\n');
  assert.deepEqual(lossesOf(output), lossesOf(whole));
  const inspect = ['models', 'inspect', MODEL, '--json'];
  for (const target of ['/dev/full', `${at('limited')}`]) {
    const script = `trap '' XFSZ; ulimit -f 1; exec "$@" > '${target}'`;
    const { status, stderr } = run(script, inspect);
    assert.equal(status, 1, target);
    assert.match(stderr, /FILE_WRITE_FAILED: the standard output cannot be written/);
  }
});

test('what lies beside a model in the output is not overwritten', () => {
  const output = at('work');
  mkdirSync(output);
  writeFileSync(join(output, 'thesis.txt'), 'mine');
  const { status, stderr } = xlembed(...command(output, '--overwrite'));
  assert.equal(status, 1);
  assert.match(stderr, /FILE_EXISTS: .*holds thesis\.txt, which is no file of a model/);
  assert.ok(existsSync(join(output, 'thesis.txt')));
  assert.equal(xlembed(...command(at('killed'), '--overwrite')).status, 0);
});

test('an output that cannot be written is a coded error', () => {
  const { status, stderr } = xlembed(...command(join(at('pairs.jsonl'), 'model')));
  assert.equal(status, 1);
  assert.match(stderr, /FILE_WRITE_FAILED: .*pairs\.jsonl/);
});

test('a read-only file system is named as that', (t) => {
  const script = `mount -t tmpfs none "$0" && mount -o remount,ro "$0" && exec "$@"`;
  mkdirSync(at('mounted'));
  const inside = (args: string[]) =>
    spawnSync('unshare', ['-rm', 'sh', '-c', script, at('mounted'), process.execPath, ...args], {
      encoding: 'utf8',
    });
  if (inside(['--version']).status !== 0)
    return t.skip('this user may mount nothing, and a read-only file system is a mount');
  const { status, stderr } = inside(['dist/cli/main.js', ...command(at('mounted/models/one'))]);
  assert.equal(status, 1);
  assert.match(stderr, /FILE_WRITE_FAILED: .*one\.partial cannot be written: EROFS/);
});

test('a link that leads nowhere is refused as an output before the first step', () => {
  symlinkSync('nowhere', at('link'));
  for (const more of [[], ['--overwrite']]) {
    const { status, stderr } = xlembed(...command(at('link'), ...more));
    assert.equal(status, 1);
    assert.match(stderr, /FILE_EXISTS: .*link exists/);
    assert.ok(!existsSync(at('link.partial')));
  }
});

test('log, scalars, report and numbers of a run lie beside its model', () => {
  const { settings, best, switchRate, validations } = json(join(whole, 'training.json'));
  assert.equal(settings.codeSwitching.lexicons[0].target, 'fr');
  assert.deepEqual(
    validations.map(({ step }: { step: number }) => step),
    [20, 40, 60],
  );
  assert.ok(best.step % 20 === 0 && switchRate > 0.05 && switchRate < 0.5);
  const [board] = readdirSync(join(whole, 'tensorboard'));
  assert.match(board!, /^events\.out\.tfevents\.\d{10}/);
  const report = readFileSync(join(whole, 'report.html'), 'utf8');
  for (const text of ['Learning rate.', 'code switching replaced', 'Evaluation during training']) {
    assert.ok(report.includes(text), text);
  }
});
