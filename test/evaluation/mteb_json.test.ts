import assert from 'node:assert/strict';
import { test } from 'node:test';
import { evaluateGrid } from '#xlembed/evaluation/grid.js';
import { mtebLanguage } from '#xlembed/evaluation/language_codes.js';
import { averagePrecision } from '#xlembed/evaluation/measures/ap.js';
import { mtebMeasures, mtebResult } from '#xlembed/evaluation/mteb_json.js';
import { BruteForceIndex } from './brute_force_index.js';
import { problem } from './random_problem.js';

const createIndex = (dimensions: number) => new BruteForceIndex(dimensions);
const fileOptions = { datasetRevision: '51adfef1', mtebVersion: '2.1.0', evaluationSeconds: 12.5 };

test('languages are written with ISO 639-3 and the likely script, or the script they name', () => {
  const tags = 'ar de el en es hi ru th tr vi zh zh-Hant sr sr-Latn fil pt-BR'.split(' ');
  assert.deepEqual(tags.map(mtebLanguage), [
    'ara-Arab',
    'deu-Latn',
    'ell-Grek',
    'eng-Latn',
    'spa-Latn',
    'hin-Deva',
    'rus-Cyrl',
    'tha-Thai',
    'tur-Latn',
    'vie-Latn',
    'zho-Hans',
    'zho-Hant',
    'srp-Cyrl',
    'srp-Latn',
    'fil-Latn',
    'por-Latn',
  ]);
});

test('a result becomes an MTEB file: one entry a setting, every key of MTEB, nothing besides', async () => {
  const result = await evaluateGrid(problem(1), { createIndex, measures: mtebMeasures() });
  const file = mtebResult(result, fileOptions);
  assert.deepEqual(Object.keys(file), [
    'dataset_revision',
    'task_name',
    'mteb_version',
    'scores',
    'evaluation_time',
    'kg_co2_emissions',
  ]);
  const scores = file.scores.test!;
  assert.deepEqual(
    scores.map((entry) => entry.hf_subset),
    'de de-en de-th en-de en en-th th-de th-en th de-multilingual en-multilingual th-multilingual'.split(' '),
  );
  assert.deepEqual(scores[1]!.languages, ['deu-Latn', 'eng-Latn']);
  assert.deepEqual(scores[11]!.languages, ['tha-Thai', 'deu-Latn', 'eng-Latn']);
  const measured = ['ndcg', 'map', 'recall', 'precision', 'mrr'].flatMap((name) =>
    [1, 3, 5, 10, 20, 100, 1000].map((k) => `${name}_at_${k}`),
  );
  assert.deepEqual(
    Object.keys(scores[0]!).sort(),
    [...measured, 'main_score', 'hf_subset', 'languages'].sort(),
  );
  assert.equal(scores[1]!.main_score, result.grid[1]!.measures['nDCG@10']);
  assert.equal(scores[1]!.ndcg_at_10, scores[1]!.main_score);
  assert.equal(scores[2]!.map_at_1000, result.grid[2]!.measures['AP@1000']);
  assert.deepEqual(JSON.parse(JSON.stringify(file)), file);
});

test('the split is named, and the main score must have been measured', async () => {
  const result = await evaluateGrid(problem(1), { createIndex });
  assert.deepEqual(
    Object.keys(mtebResult(result, { ...fileOptions, names: { task: 'Other', split: 'validation' } }).scores),
    ['validation'],
  );
  const without = await evaluateGrid(problem(1), { createIndex, measures: [averagePrecision()] });
  assert.throws(() => mtebResult(without, fileOptions), /nDCG@10 among them/);
});
