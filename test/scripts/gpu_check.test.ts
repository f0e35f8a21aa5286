import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { temporaryFolder } from '../cli/run.js';

const folder = temporaryFolder();

function gpuCheck(...args: string[]) {
  return spawnSync('scripts/gpu-check', args, { encoding: 'utf8', timeout: 120_000 });
}

test('gpu-check writes one JSON with versions, stages and benchmarks, and keeps what other stages gave', () => {
  const flags = ['--device', 'cpu', '--quick', '--only', 'quantize_binary', '--stages'];
  for (const stage of ['benchmarks', 'sanitizers']) {
    const { status, stdout, stderr } = gpuCheck(folder, ...flags, stage);
    assert.equal(status, 0, stdout + stderr);
  }
  const [name, ...others] = readdirSync(folder);
  assert.deepEqual(others, []);
  assert.match(name!, /^gpu-check-[a-z0-9-]+\.json$/);
  const written = JSON.parse(readFileSync(join(folder, name!), 'utf8'));
  assert.equal(written.device, 'cpu');
  assert.equal(written.versions.node, process.versions.node);
  assert.deepEqual(Object.keys(written.stages), ['benchmarks', 'sanitizers']);
  assert.equal(written.stages.sanitizers.status, 'skipped');
  assert.equal(written.stages.benchmarks.status, 'passed');
  assert.equal(written.benchmarks.cases[0].op, 'quantize_binary');
  assert.deepEqual([written.encoding, written.training], [null, null]);
  // Benchmarks that are run again and give nothing leave nothing of the earlier ones.
  gpuCheck(folder, ...flags, 'benchmarks', '--minutes', '0.02');
  const again = JSON.parse(readFileSync(join(folder, name!), 'utf8'));
  assert.equal(again.stages.benchmarks.status, 'timed out');
  assert.deepEqual(again.benchmarks?.cases ?? [], []);
});

test('a stage that does not fit its time is recorded, and ends the check with a failure', () => {
  const flags = ['--device', 'cpu', '--stages', 'benchmarks', '--quick', '--minutes', '0.03'];
  const { status, stdout } = gpuCheck(join(folder, 'late'), ...flags);
  assert.equal(status, 1);
  assert.match(stdout, /^benchmarks +timed out/m);
  const [name] = readdirSync(join(folder, 'late'));
  const written = JSON.parse(readFileSync(join(folder, 'late', name!), 'utf8'));
  assert.equal(written.stages.benchmarks.status, 'timed out');
});

test('a check that is ended leaves what it has measured, and says so', async () => {
  const into = join(folder, 'ended');
  const flags = ['--device', 'cpu', '--quick', '--stages', 'benchmarks'];
  const check = spawn('scripts/gpu-check', [into, ...flags], { stdio: 'ignore' });
  const ended = once(check, 'exit');
  const written = () => {
    const [name] = existsSync(into) ? readdirSync(into).filter((name) => name.endsWith('.json')) : [];
    return name ? JSON.parse(readFileSync(join(into, name), 'utf8')) : undefined;
  };
  while (!written()?.benchmarks?.cases.length && check.exitCode === null) await sleep(100);
  check.kill();
  assert.deepEqual(await ended, [143, null]);
  assert.equal(written().stages.benchmarks.status, 'interrupted');
  assert.ok(written().benchmarks.cases.length > 0);
});

test('gpu-check names an option that it does not know', () => {
  const { status, stderr } = gpuCheck('--stages', 'setup,flying');
  assert.equal(status, 2);
  assert.match(stderr, /there is no stage flying/);
});
