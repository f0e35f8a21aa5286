import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { copyOfScripts } from './load.js';

test('native tests that ctest cannot list are no success', (context) => {
  const root = copyOfScripts(context);
  mkdirSync(join(root, 'build'));
  writeFileSync(join(root, 'build', 'CTestTestfile.cmake'), '');
  mkdirSync(join(root, '.build', 'test'), { recursive: true });
  writeFileSync(join(root, '.build', 'test', 'a.test.js'), "import 'node:test';\n");
  const { status, stderr } = spawnSync(process.execPath, [join(root, 'scripts/test.mjs')], {
    encoding: 'utf8',
    env: { PATH: root },
  });
  assert.equal(status, 2);
  assert.match(stderr, /ctest does not list the native tests: spawnSync ctest ENOENT/);
});
