import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { BenchmarkResults } from '#xlembed/report/benchmark_results.js';
import { temporaryFolder, xlembed } from '../cli/run.js';

const folder = temporaryFolder();
const resultsPath = join(folder, 'results.json');

test('bench kernels measures the machine and each op beside libtorch', () => {
  const args = ['--quick', '--only', 'normalize', '--shape', 'rows=8192', '--json', '--output', resultsPath];
  const { status, stdout, stderr } = xlembed('bench', 'kernels', ...args);
  assert.equal(status, 0, stderr);
  const results = JSON.parse(stdout) as BenchmarkResults;
  assert.deepEqual(results, JSON.parse(readFileSync(resultsPath, 'utf8')));
  assert.equal(results.command, 'xlembed bench kernels --only normalize --shape rows=8192 --quick');
  assert.deepEqual(results.failures, []);
  for (const bound of Object.values(results.bounds)) assert.ok(bound > 1e6);
  assert.deepEqual(
    results.cases.map(({ op, dtype }) => [op, dtype]),
    [
      ['normalize', 'float32'],
      ['normalize', 'bfloat16'],
    ],
  );
  for (const { rounds, implementations } of results.cases) {
    assert.ok(rounds >= 5);
    assert.deepEqual(
      implementations.map(({ name, kind }) => [name, kind]),
      [
        ['xlembed', 'xlembed'],
        ['libtorch', 'peer'],
        ['xlembed, into memory at hand', 'xlembed'],
      ],
    );
    for (const one of implementations) {
      assert.ok(one.fastest > 0 && one.fastest <= one.seconds && one.deviation < one.seconds);
      assert.ok(one.boundSeconds > 0 && one.difference < 1e-2);
    }
    const [ratio] = implementations[0]!.ratios;
    assert.equal(ratio?.peer, 'libtorch');
    assert.ok(ratio.ratio > 0);
  }
});

test('bench kernels --add keeps what another run has measured', () => {
  const args = ['--quick', '--only', 'quantize_int8', '--add', '--json', '--output', resultsPath];
  const { status, stdout, stderr } = xlembed('bench', 'kernels', ...args);
  assert.equal(status, 0, stderr);
  assert.deepEqual(
    (JSON.parse(stdout) as BenchmarkResults).cases.map(({ op }) => op),
    ['quantize_int8'],
  );
  const { cases, command } = JSON.parse(readFileSync(resultsPath, 'utf8')) as BenchmarkResults;
  assert.deepEqual(
    cases.map(({ op }) => op),
    ['normalize', 'normalize', 'quantize_int8'],
  );
  assert.equal(command.split('\n').length, 2);
});

test('bench report draws the roofline of its results, and of what gpu-check wrote', () => {
  const checked = join(folder, 'checked.json');
  const results = JSON.parse(readFileSync(resultsPath, 'utf8')) as BenchmarkResults;
  writeFileSync(checked, JSON.stringify({ benchmarks: { ...results, machine: 'Another <machine>' } }));
  const output = join(folder, 'pages', 'roofline.html');
  const { status, stderr } = xlembed('bench', 'report', resultsPath, checked, '--output', output);
  assert.equal(status, 0, stderr);
  const page = readFileSync(output, 'utf8');
  assert.equal(page.match(/<svg /g)?.length, 2);
  assert.match(page, /Roofline/);
  assert.match(page, /Another &lt;machine&gt;/);
  assert.match(page, /normalize bfloat16: rows 8,192, dimensions 384/);
});

test('bench refuses what it cannot use, and writes nothing', () => {
  assert.equal(xlembed('bench', 'kernels', '--only', 'sorting').status, 2);
  const unknown = xlembed('bench', 'train', '--batch-size', '65');
  assert.equal(unknown.status, 1);
  assert.match(unknown.stderr, /INVALID_ARGUMENT: there is no case of 65 pairs\n.*64, 256, 1024, 16384/);
  const broken = join(folder, 'broken.json');
  writeFileSync(broken, '{"machine": 7}');
  const output = join(folder, 'none.html');
  const { status, stderr } = xlembed('bench', 'report', broken, '--output', output);
  assert.equal(status, 1);
  assert.match(stderr, /MALFORMED_FILE: .*broken\.json: createdAt/);
  assert.throws(() => readFileSync(output));
  assert.match(xlembed('bench', 'report', 'absent.json', '--output', output).stderr, /FILE_NOT_FOUND/);
});
