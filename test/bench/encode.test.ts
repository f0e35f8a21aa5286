import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { operationsOf } from '#xlembed/cli/bench/encode_model.js';
import { chooseTexts, type TextSource } from '#xlembed/cli/bench/encode_texts.js';
import type { BenchmarkResults } from '#xlembed/report/benchmark_results.js';
import { temporaryFolder, xlembed } from '../cli/run.js';
import { device } from '../device.js';

const isCpu = device === 'cpu';
const folder = temporaryFolder();
const output = join(folder, 'encode.json');

test('bench encode times every type beside the products alone, and goes on with a file', () => {
  const common = [
    '--shape',
    'minilm',
    '--rounds',
    '1',
    '--device',
    device,
    '--models',
    join(folder, 'models'),
    '--output',
    output,
  ];
  const sets = xlembed('bench', 'encode', ...common, '--texts', 'questions', '--count', '6', '--json');
  assert.equal(sets.status, 0, sets.stderr);
  const more = ['--add', '--dtype', 'float32', '--lengths', '8', '16', '24', '--count', '3'];
  const lengths = xlembed('bench', 'encode', ...common, ...more);
  assert.equal(lengths.status, 0, lengths.stderr);
  const { cases } = JSON.parse(readFileSync(output, 'utf8')) as BenchmarkResults;
  assert.deepEqual(
    cases.map(({ op, dtype, shape }) => [op, dtype, shape.texts, shape.length]),
    [
      ['encode minilm, questions', 'float32', 6, undefined],
      ['encode minilm, questions', 'bfloat16', 6, undefined],
      ['encode minilm, questions', isCpu ? 'int8' : 'float16', 6, undefined],
      ['encode minilm, one length', 'float32', 3, 8],
      ['encode minilm, one length', 'float32', 3, 16],
      ['encode minilm, one length', 'float32', 3, 24],
    ],
  );
  assert.deepEqual((JSON.parse(sets.stdout) as BenchmarkResults).cases, cases.slice(0, 3));
  const far = { float32: 1e-6, bfloat16: 0.03, float16: 0.01, int8: 0.1 };
  for (const { dtype, implementations, work } of cases) {
    const own = implementations[0];
    const names = implementations.map(({ name }) => name);
    const hasSquare = !isCpu || dtype === 'float32';
    assert.deepEqual(names, ['xlembed', ...(hasSquare ? ['square products'] : []), 'products alone']);
    assert.equal(own!.ratios.length, hasSquare ? 1 : 0);
    assert.ok(own!.difference <= far[dtype as keyof typeof far], `${dtype} differs by ${own!.difference}`);
    assert.ok(own!.boundSeconds > 0 && work!.tokenizerShare > 0);
  }
  assert.equal(cases[5]!.work!.tokens, 3 * 24);

  const page = join(folder, 'encode.html');
  const report = xlembed('bench', 'report', output, '--output', page);
  assert.equal(report.status, 0, report.stderr);
  const html = readFileSync(page, 'utf8');
  assert.match(html, /encode minilm, one length float32/);
  assert.match(html, /tokens\/s/);
  assert.equal(html.match(/<svg /g)?.length, 1);
});

test('a text set is the same each time, and the mix is half and half', () => {
  const source: TextSource = {
    name: 'some',
    questions: Array.from({ length: 50 }, (_, n) => `q${n}`),
    passages: Array.from({ length: 30 }, (_, n) => `p${n}`),
  };
  const mix = chooseTexts(source, 'mix', 20);
  assert.deepEqual(mix, chooseTexts(source, 'mix', 20));
  assert.equal(mix.filter((text) => text.startsWith('q')).length, 10);
  assert.equal(new Set(mix).size, 20);
  assert.equal(chooseTexts(source, 'questions', 7).length, 7);
});

test('operations are those of the linear layers and of attention over real tokens', () => {
  const shape = {
    name: 'x',
    hidden_size: 2,
    intermediate_size: 3,
    num_hidden_layers: 2,
    num_attention_heads: 1,
  };
  // A layer: 2 x (2 x 6 + 2 x 2 + 2 x 3 + 3 x 2) a token, and two products of (L, 2) with L columns.
  assert.deepEqual(operationsOf({ ...shape, texts: 1 }, [1, 3]), {
    linear: 2 * 4 * 2 * 28,
    attention: 2 * 4 * 2 * (1 + 9),
  });
});
