import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { largestDifference } from '../encoding/goldens.js';
import { LASER, laserGolden } from '../encoding/laser_golden.js';
import { hasFaiss } from '../faiss.js';
import { temporaryFolder, xlembed } from './run.js';

const folder = temporaryFolder();
const at = (name: string) => join(folder, name);

function run(...args: string[]) {
  const { status, stdout, stderr } = xlembed(...args, '--json');
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout.trim().split('\n').at(-1)!);
}

const { texts, text_embeddings } = laserGolden;
const sentences = texts.slice(-24).map(({ text }) => text);

/** (rows, 16) of a .npy file: its data is the last part. */
function npyValues(path: string, rows: number): Float32Array {
  const bytes = readFileSync(path);
  return new Float32Array(new Uint8Array(bytes.subarray(bytes.length - rows * 16 * 4)).buffer);
}

test('encode: the published files of LASER-2 give the vectors of PyTorch', () => {
  const rows = text_embeddings.length;
  const lines = texts.slice(0, rows).map(({ text }, n) => JSON.stringify({ id: `${n}`, text }));
  writeFileSync(at('texts.jsonl'), lines.join('\n'));
  const result = run('encode', '--model', LASER, '--input', at('texts.jsonl'), '--output', at('encoded'));
  assert.deepEqual([result.rows, result.dimensions, result.truncated], [rows, 16, 0]);
  const values = npyValues(join(at('encoded'), 'shard-00000.npy'), rows);
  assert.ok(largestDifference(values, text_embeddings.flat()) <= 2e-6);
});

test('search: that embeddings of other lengths than 1 are not compared by cosine is noted', () => {
  const query = texts[0]!.text;
  const found = xlembed('search', '--model', LASER, '--index', at('encoded'), '--query', query, '--json');
  assert.equal(found.status, 0, found.stderr);
  assert.match(
    found.stderr,
    /^note: these embeddings are not scaled to length 1 .*xlembed encode --normalize scales them$/m,
  );
  const [first] = text_embeddings;
  const scores = text_embeddings.map((row) => row.reduce((sum, value, d) => sum + value * first![d]!, 0));
  assert.ok(Math.abs(JSON.parse(found.stdout)[0].hits[0].score - Math.max(...scores)) < 1e-4);
});

function searched(index: string, ...more: string[]): { id: string; score: number }[] {
  const query = ['--query', texts[0]!.text, '-k', '100'];
  const found = xlembed('search', '--model', LASER, '--index', at(index), ...query, '--json', ...more);
  assert.equal(found.status, 0, found.stderr);
  assert.doesNotMatch(found.stderr, /note:/);
  return JSON.parse(found.stdout)[0].hits;
}

/** Cosine of the first golden embedding with each, of the first `dimensions`, by id. */
function cosines(dimensions: number): Map<string, number> {
  const rows = text_embeddings.map((row) => row.slice(0, dimensions));
  const [first] = rows;
  return new Map(
    rows.map((row, n) => {
      const product = row.reduce((sum, value, d) => sum + value * first![d]!, 0);
      return [`${n}`, product / Math.hypot(...row) / Math.hypot(...first!)];
    }),
  );
}

test('encode --normalize: a search compares by cosine, cut or not, however the vectors are kept', () => {
  const encode = ['encode', '--model', LASER, '--input', at('texts.jsonl')];
  for (const [precision, dimensions, tolerance, indexes] of [
    ['float32', 16, 1e-6, hasFaiss ? ['--faiss', 'Flat'] : []],
    ['int8', 6, 2e-2, []],
  ] as const) {
    const cut = ['--precision', precision, '--dimensions', `${dimensions}`];
    const { normalized } = run(...encode, '--output', at(precision), '--normalize', ...cut, ...indexes);
    assert.equal(normalized, true);
    const found = [searched(precision)];
    if (precision === 'float32') found.push(searched(precision, '--memory-map'));
    if (indexes.length > 0) found.push(searched(join(precision, 'faiss')));
    const expected = cosines(dimensions);
    for (const hits of found) {
      assert.equal(hits.length, expected.size);
      for (const { id, score } of hits) assert.ok(Math.abs(score - expected.get(id)!) <= tolerance);
    }
  }
  const resumed = xlembed(...encode, '--output', at('float32'), '--resume');
  assert.match(resumed.stderr, /RESUME_REFUSED: .*normalized was true and is false/);
});

test('train, then evaluate what was trained', () => {
  const records = sentences
    .slice(0, 12)
    .map((text, n) =>
      JSON.stringify({ id: `r${n}`, query: { en: text }, positive: { en: sentences[n + 12] } }),
    );
  writeFileSync(at('pairs.jsonl'), records.join('\n'));
  const trained = run(
    'train',
    ...['--model', LASER, '--data', at('pairs.jsonl'), '--output', at('trained')],
    ...['--sampler', 'monolingual', '--batch-size', '6', '--steps', '12', '--learning-rate', '0.01'],
  );
  assert.equal(trained.steps, 12);
  const log = readFileSync(join(at('trained'), 'training_log.jsonl'), 'utf8')
    .trim()
    .split('\n');
  const losses = log.map((line) => JSON.parse(line).loss as number);
  assert.ok(losses.at(-1)! < losses[0]!, losses.join(' '));
  const config = JSON.parse(readFileSync(join(at('trained'), 'config.json'), 'utf8'));
  assert.deepEqual([config.model_type, config.prompts], ['laser2', { query: '', passage: '' }]);

  const measured = run(
    'evaluate',
    ...['--model', at('trained'), '--task', 'xquad-r', '--data', 'test/evaluation/tasks/fixtures/xquad_r'],
  );
  assert.deepEqual(measured.languages, ['de', 'el', 'en']);
  for (const value of Object.values(measured.measures as Record<string, number>)) {
    assert.ok(Number.isFinite(value));
  }
});

test('encode: a folder without its dictionary ends with the code', () => {
  const { status, stderr } = xlembed(
    ...['encode', '--model', at('trained/..'), '--input', at('texts.jsonl'), '--output', at('x')],
  );
  assert.equal(status, 1);
  assert.match(stderr, /^xlembed: FILE_NOT_FOUND: /m);
});
