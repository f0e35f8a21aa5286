import assert from 'node:assert/strict';
import { test } from 'node:test';
import { XlembedError } from '#xlembed/errors.js';
import { parseMeasure } from '#xlembed/evaluation/measures/parse.js';

test('names read back as they print', () => {
  for (const name of ['AP', 'AP@1000', 'RR', 'RR@10', 'nDCG', 'nDCG@10', 'R@100', 'P@5', 'Success@1']) {
    assert.equal(parseMeasure(name).name, name);
  }
});

test('a measure knows its cutoff and its MTEB key', () => {
  const keys = ['nDCG@10', 'AP', 'AP@5', 'RR@3', 'R@100', 'P@1'].map((name) => parseMeasure(name).key);
  assert.deepEqual(keys, ['ndcg_at_10', 'map', 'map_at_5', 'mrr_at_3', 'recall_at_100', 'precision_at_1']);
  assert.equal(parseMeasure('nDCG@10').cutoff, 10);
  assert.equal(parseMeasure('AP').cutoff, undefined);
});

test("ir_measures' other spellings are read", () => {
  const names = ['MAP', 'MRR@10', 'NDCG@10', 'Recall@5', 'Precision@5'].map(
    (name) => parseMeasure(name).name,
  );
  assert.deepEqual(names, ['AP', 'RR@10', 'nDCG@10', 'R@5', 'P@5']);
});

test('anything else is refused with the name and examples', () => {
  for (const name of [
    '',
    'R',
    'P',
    'Success',
    'nDCG@0',
    'nDCG@',
    'nDCG@1.5',
    'ndcg@10',
    'constructor',
    'AP@-1',
  ]) {
    assert.throws(
      () => parseMeasure(name),
      (error) =>
        error instanceof XlembedError &&
        error.code === 'INVALID_ARGUMENT' &&
        error.message.includes(JSON.stringify(name)) &&
        error.message.includes('nDCG@10'),
      name,
    );
  }
});
