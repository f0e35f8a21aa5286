import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { resolve } from 'node:path';
import { test } from 'node:test';

test('CommonJS requires the package', () => {
  const program = `console.log(typeof require(${JSON.stringify(resolve('dist/index.js'))}).Encoder)`;
  const printed = execFileSync(process.execPath, ['--no-warnings', '-e', program], { encoding: 'utf8' });
  assert.equal(printed, 'function\n');
});
