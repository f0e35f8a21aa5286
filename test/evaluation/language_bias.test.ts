import assert from 'node:assert/strict';
import { test } from 'node:test';
import { languageBias, rankDistance } from '#xlembed/evaluation/language_bias.js';

test('rank distance is the largest rank minus the smallest', () => {
  assert.equal(rankDistance([1, 2, 3]), 2);
  assert.equal(rankDistance([17, 4, 9]), 13);
  assert.equal(rankDistance([5]), undefined);
  assert.equal(rankDistance([]), undefined);
});

test('language bias is the mean over the queries that have a distance', () => {
  const rankings = [{ ranks: [1, 11, 4] }, { ranks: [2, 3] }, { ranks: [8] }];
  assert.equal(languageBias(rankings), (10 + 1) / 2);
  assert.equal(languageBias([{ ranks: [8] }]), undefined);
});
