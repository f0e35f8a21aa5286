import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { judgeRun, mapOfMaps } from '#xlembed/evaluation/judgements.js';
import { parseMeasure } from '#xlembed/evaluation/measures/parse.js';

type Table = Record<string, Record<string, number>>;
const golden = JSON.parse(readFileSync('test/reference/retrieval_measures.json', 'utf8')) as {
  run: Table;
  qrels: Table;
  expected: Table;
};

test('every measure of every query equals pytrec_eval, ties included', () => {
  const { rankings } = judgeRun(mapOfMaps(golden.run), mapOfMaps(golden.qrels));
  let compared = 0;
  for (const [query, measures] of Object.entries(golden.expected)) {
    for (const [name, expected] of Object.entries(measures)) {
      const actual = parseMeasure(name).score(rankings.get(query)!);
      assert.ok(Math.abs(actual - expected) <= 1e-9, `${name} of ${query}: ${actual}, not ${expected}`);
      compared++;
    }
  }
  assert.equal(compared, 28 * 19);
});

test('queries that stand on one side only are named', () => {
  const judged = judgeRun(mapOfMaps(golden.run), mapOfMaps(golden.qrels));
  assert.deepEqual(judged.missingQueries, ['q4', 'q17']);
  assert.deepEqual(judged.unjudgedQueries, ['q8', 'q21']);
  assert.equal(judged.rankings.size, 30);
});
