import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { test } from 'node:test';

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
