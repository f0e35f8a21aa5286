#!/usr/bin/env node
// Runs what `setup.mjs --tests` has built: the native tests through ctest, the TypeScript tests through Node's runner.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { parseArgs } from 'node:util';
import { listFiles, root } from './setup/shared.mjs';

const usage = `usage: node scripts/test.mjs [--only native|ts] [--on-device] [name]

  --only native|ts   one half of the tests
  --on-device        of the TypeScript tests those that run where XLEMBED_TEST_DEVICE says
  name               only native tests and test files whose path contains this`;

const fileTimeout_ms = 900_000;
const atOnce = Math.max(2, Math.floor(availableParallelism() / 2));

function fail(message) {
  console.error(message);
  process.exit(2);
}

function parseOptions() {
  try {
    const { values, positionals } = parseArgs({
      options: {
        only: { type: 'string' },
        'on-device': { type: 'boolean', default: false },
        help: { type: 'boolean' },
      },
      allowPositionals: true,
    });
    if (values.only && !['native', 'ts'].includes(values.only)) throw new Error('--only takes native or ts');
    if (positionals.length > 1) throw new Error('at most one name');
    return { ...values, onDevice: values['on-device'], name: positionals[0] ?? '' };
  } catch (error) {
    fail(`${error.message}\n\n${usage}`);
  }
}

/** @returns {{ found: number, ok: boolean }} */
function runNative(name) {
  const build = join(root, 'build');
  if (!existsSync(join(build, 'CTestTestfile.cmake')))
    fail('no native tests are built; run: npm run setup -- --tests');
  const only = name ? ['-R', name.replace(/[^\w-]/g, '.')] : [];
  const listed = spawnSync('ctest', ['--test-dir', build, '-N', ...only], { encoding: 'utf8' });
  const total = /Total Tests: (\d+)/.exec(listed.stdout ?? '')?.[1];
  if (!total) fail(`ctest does not list the native tests: ${listed.error?.message ?? listed.stderr}`);
  const found = Number(total);
  if (found === 0) return { found, ok: true };
  const options = ['--test-dir', build, '--parallel', String(atOnce), '--output-on-failure', ...only];
  const result = spawnSync('ctest', options, { stdio: 'inherit' });
  return { found, ok: result.status === 0 };
}

/** Whether a compiled file, or one that it imports from beside it, asks for the device of the tests. */
function asksForDevice(file, seen = new Set()) {
  if (basename(file) === 'device.js') return true;
  if (seen.has(file) || !existsSync(file)) return false;
  seen.add(file);
  const imports = readFileSync(file, 'utf8').matchAll(/from '(\.{1,2}\/[^']+)'/g);
  return [...imports].some(([, path]) => asksForDevice(join(dirname(file), path), seen));
}

/** @returns {Promise<{ found: number, ok: boolean }>} */
async function runTypeScript(name, onDevice) {
  const folder = join(root, '.build', 'test');
  if (!existsSync(folder)) fail('no TypeScript tests are compiled; run: npm run setup -- --tests');
  const files = listFiles(folder, (file) => file.endsWith('.test.js')).filter(
    (file) => relative(folder, file).includes(name) && (!onDevice || asksForDevice(file)),
  );
  if (files.length === 0) return { found: 0, ok: true };
  // Tests name their data from the repository's root, and one waiting OpenMP thread must not slow the other file.
  process.chdir(root);
  process.env.OMP_WAIT_POLICY ??= 'passive';
  let ok = true;
  const stream = run({ files, concurrency: atOnce, timeout: fileTimeout_ms });
  stream.on('test:fail', () => {
    ok = false;
  });
  for await (const text of stream.compose(new spec())) process.stdout.write(text);
  return { found: files.length, ok };
}

const { only, name, onDevice, help } = parseOptions();
if (help) {
  console.log(usage);
} else {
  const native = only === 'ts' ? { found: 0, ok: true } : runNative(name);
  const typescript = only === 'native' ? { found: 0, ok: true } : await runTypeScript(name, onDevice);
  if (native.found + typescript.found === 0) fail(`no test matches ${JSON.stringify(name)}`);
  console.log(
    `native: ${native.found} programs ${native.ok ? 'passed' : 'FAILED'}; ` +
      `TypeScript: ${typescript.found} files ${typescript.ok ? 'passed' : 'FAILED'}`,
  );
  process.exitCode = native.ok && typescript.ok ? 0 : 1;
}
