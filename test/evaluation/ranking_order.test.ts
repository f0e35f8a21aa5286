import assert from 'node:assert/strict';
import { test } from 'node:test';
import { XlembedError } from '#xlembed/errors.js';
import { judgeRun, mapOfMaps, rankDocuments } from '#xlembed/evaluation/judgements.js';
import { compareIds, tieBreakingOrder } from '#xlembed/evaluation/ranking_order.js';

const ids = [
  'a',
  'ab',
  'b',
  '',
  '9',
  '10',
  '\uff5e',
  '\ue000',
  '\ud7ff',
  '\u{10000}',
  '\u{1f600}',
  '\u{1f600}a',
  'é',
];

test('ids compare as their UTF-8 bytes do', () => {
  for (const a of ids) {
    for (const b of ids) {
      const expected = Buffer.compare(Buffer.from(a), Buffer.from(b));
      assert.equal(Math.sign(compareIds(a, b)), expected, JSON.stringify([a, b]));
    }
  }
});

test('candidates are laid out by id, descending', () => {
  assert.deepEqual([...tieBreakingOrder(['b', '\uff5e', 'a', '\u{10000}', 'b2'])], [3, 1, 4, 0, 2]);
});

test('equal scores rank by id, descending, and scores are equal when they are in float32', () => {
  const scores = new Map([
    ['a', 0.5 + 1e-10],
    ['b', 0.5],
    ['c', 0.5 - 1e-10],
    ['d', 0.6],
    ['e', 0.4],
  ]);
  assert.deepEqual(rankDocuments('q', scores), ['d', 'c', 'b', 'a', 'e']);
});

test('infinite scores rank first and last; a score that is no number is refused', () => {
  const scores = new Map([
    ['low', Number.NEGATIVE_INFINITY],
    ['middle', 0],
    ['high', Number.POSITIVE_INFINITY],
  ]);
  assert.deepEqual(rankDocuments('q', scores), ['high', 'middle', 'low']);
  assert.throws(
    () => rankDocuments('q', new Map([['d7', Number.NaN]])),
    (error) =>
      error instanceof XlembedError && error.code === 'INVALID_ARGUMENT' && error.message.includes('d7'),
  );
});

test('a grade that is not whole is refused', () => {
  assert.throws(
    () => judgeRun(mapOfMaps({ q: { a: 1 } }), mapOfMaps({ q: { a: 0.5 } })),
    (error) =>
      error instanceof XlembedError && error.code === 'INVALID_ARGUMENT' && error.message.includes('grade'),
  );
});
