import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { temporaryFolder } from './cli/run.js';

const folder = temporaryFolder();

test('CommonJS requires the package', () => {
  const program = `console.log(typeof require(${JSON.stringify(resolve('dist/index.js'))}).Encoder)`;
  const printed = execFileSync(process.execPath, ['--no-warnings', '-e', program], { encoding: 'utf8' });
  assert.equal(printed, 'function\n');
});

test('importing needs no WebAssembly, whose memory takes more addresses than some servers grant', () => {
  const program = `import ${JSON.stringify(resolve('dist/index.js'))}; console.log(typeof WebAssembly);`;
  const flags = ['--jitless', '--no-warnings', '--input-type=module'];
  assert.equal(
    execFileSync(process.execPath, [...flags, '-e', program], { encoding: 'utf8' }),
    'undefined\n',
  );
});

test('the package brings nothing that npm builds by itself', () => {
  const { files, scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as {
    files: string[];
    scripts: Record<string, string>;
  };
  assert.ok(!files.some((name) => name.endsWith('.gyp')), 'npm ci would run node-gyp, whatever gypfile says');
  for (const name of ['preinstall', 'install', 'postinstall']) assert.equal(scripts[name], undefined, name);
});

test("under Node's permission model a refusal names what to allow, and with all of it everything works", () => {
  const program = `
    import { Encoder, trainTokenizer } from ${JSON.stringify(resolve('dist/index.js'))};
    try {
      const encoder = await Encoder.load('test/reference/encoder/bert');
      await trainTokenizer(['a b'], process.argv[1]);
      await encoder.save(process.argv[2]);
    } catch ({ code, hint }) {
      console.log(code, hint);
    }`;
  const permission = process.allowedNodeEnvironmentFlags.has('--permission')
    ? '--permission'
    : '--experimental-permission';
  const run = (...allowed: string[]) => {
    const files = ['--allow-fs-read=*', '--allow-fs-write=*'];
    const flags = ['--no-warnings', permission, ...files, ...allowed, '--input-type=module', '-e', program];
    const outputs = [join(folder, 'tokenizer.json'), join(folder, 'model')];
    return execFileSync(process.execPath, [...flags, ...outputs], { encoding: 'utf8' });
  };
  const [addons, worker, child] = ['--allow-addons', '--allow-worker', '--allow-child-process'] as const;
  for (const allowed of [[], [worker]])
    assert.match(run(...allowed), /^ADDON_LOAD_FAILED .*--allow-addons and --allow-worker/);
  assert.match(run(addons), /^WORKER_FAILED .*--allow-worker and --allow-addons/);
  assert.match(run(addons, worker), /^TOKENIZER_FAILED .*--allow-child-process/);
  assert.equal(run(addons, worker, child), '');
});
