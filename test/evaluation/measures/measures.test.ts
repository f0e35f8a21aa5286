import assert from 'node:assert/strict';
import { test } from 'node:test';
import { XlembedError } from '#xlembed/errors.js';
import { judgeRun, mapOfMaps } from '#xlembed/evaluation/judgements.js';
import { averagePrecision } from '#xlembed/evaluation/measures/ap.js';
import { type Measure, meanScore } from '#xlembed/evaluation/measures/measure.js';
import { ndcg } from '#xlembed/evaluation/measures/ndcg.js';
import { precision } from '#xlembed/evaluation/measures/precision.js';
import { recall } from '#xlembed/evaluation/measures/recall.js';
import { reciprocalRank } from '#xlembed/evaluation/measures/rr.js';
import { success } from '#xlembed/evaluation/measures/success.js';

// The ranking of every test: b (grade 0), a (2), e (not judged), c (1), d (3 but not retrieved).
const run = mapOfMaps({ q: { b: 0.9, a: 0.8, e: 0.7, c: 0.6 } });
const qrels = mapOfMaps({ q: { a: 2, b: 0, c: 1, d: 3 } });
const ranking = judgeRun(run, qrels).rankings.get('q')!;

function scores(measure: Measure, expected: number): void {
  assert.ok(Math.abs(measure.score(ranking) - expected) < 1e-15, `${measure.name} ${measure.score(ranking)}`);
}

test('a ranking keeps where the relevant documents stand', () => {
  assert.deepEqual([...(ranking.ranks as Int32Array)], [2, 4]);
  assert.deepEqual([...(ranking.grades as Float64Array)], [2, 1]);
  assert.deepEqual([...(ranking.relevantGrades as Float64Array)], [3, 2, 1]);
});

test('AP divides by all relevant documents, with or without a cutoff', () => {
  scores(averagePrecision(), (1 / 2 + 2 / 4) / 3);
  scores(averagePrecision(3), 1 / 2 / 3);
  scores(averagePrecision(1), 0);
});

test('RR is one over the first relevant rank', () => {
  scores(reciprocalRank(), 1 / 2);
  scores(reciprocalRank(2), 1 / 2);
  scores(reciprocalRank(1), 0);
});

test('R is the share of all relevant documents found', () => {
  scores(recall(1), 0);
  scores(recall(2), 1 / 3);
  scores(recall(100), 2 / 3);
});

test('P divides by the cutoff, also beyond the last retrieved', () => {
  scores(precision(2), 1 / 2);
  scores(precision(5), 2 / 5);
});

test('Success asks for any relevant document', () => {
  scores(success(1), 0);
  scores(success(2), 1);
});

test('nDCG has linear gain, log2 discount and an ideal of all relevant documents', () => {
  const ideal = 3 + 2 / Math.log2(3) + 1 / 2;
  scores(ndcg(), (2 / Math.log2(3) + 1 / Math.log2(5)) / ideal);
  scores(ndcg(3), 2 / Math.log2(3) / ideal);
  scores(ndcg(2), 2 / Math.log2(3) / (3 + 2 / Math.log2(3)));
  scores(ndcg(1), 0);
});

test('a query without relevant documents scores 0 everywhere', () => {
  const none = judgeRun(run, mapOfMaps({ q: { b: 0, x: -1 } })).rankings.get('q')!;
  for (const measure of [
    averagePrecision(),
    reciprocalRank(),
    recall(5),
    precision(5),
    success(5),
    ndcg(),
    ndcg(5),
  ]) {
    assert.equal(measure.score(none), 0, measure.name);
  }
});

test('a mean runs over all queries and counts one that retrieved nothing as 0', () => {
  const judged = judgeRun(run, mapOfMaps({ q: { a: 1 }, lost: { a: 1 } }));
  assert.deepEqual(judged.missingQueries, ['lost']);
  assert.equal(meanScore(reciprocalRank(), judged.rankings.values()), 1 / 4);
  assert.ok(Number.isNaN(meanScore(reciprocalRank(), [])));
});

test('a cutoff must be a positive whole number', () => {
  for (const cutoff of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    assert.throws(
      () => recall(cutoff),
      (error) => error instanceof XlembedError && error.code === 'INVALID_ARGUMENT',
    );
  }
});
