import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { copyOfScripts, load } from './load.js';

test('an nvcc that CMake refused is not taken for CUDA', async (context) => {
  const root = copyOfScripts(context);
  const { cudaOf } = await load(join(root, 'scripts/setup/addon.mjs'));
  const judge = () => cudaOf({ nvcc: '/opt/nvcc' }, { cuda: true });
  assert.deepEqual(judge(), { compiled: true, reason: '' });
  mkdirSync(join(root, 'build'));
  const cache = join(root, 'build', 'CMakeCache.txt');
  writeFileSync(cache, 'CMAKE_CUDA_COMPILER:FILEPATH=/opt/nvcc\n');
  assert.equal(judge().compiled, true);
  writeFileSync(cache, '//CUDA compiler\nCMAKE_CUDA_COMPILER:FILEPATH=NOTFOUND\n');
  assert.deepEqual(judge(), { compiled: false, reason: 'CMake cannot compile with /opt/nvcc' });
});

test('Node is needed by its own path alone, and what a preload prints is not taken for a folder', () => {
  const text = readFileSync('CMakeLists.txt', 'utf8');
  assert.doesNotMatch(text, /COMMAND node/);
});

test('what the compiler uses of the processor is written down', async () => {
  const { instructionsOf } = await load('scripts/setup/addon.mjs');
  assert.deepEqual(instructionsOf(' fpu sse2 ht avx2 fma avx512f amx_int8'), [
    'avx2',
    'fma',
    'avx512f',
    'amx_int8',
  ]);
});

test('as many files are compiled at once as the memory that this process may use allows', async (context) => {
  const { jobs } = await load('scripts/setup/addon.mjs');
  context.mock.method(process, 'availableMemory', () => 1e9);
  assert.equal(jobs(), 1);
  context.mock.method(process, 'availableMemory', () => 1e15);
  assert.equal(jobs(), availableParallelism());
});
