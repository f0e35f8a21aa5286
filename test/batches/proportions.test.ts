import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LanguageWeights } from '#xlembed/batches/weights.js';
import { plans, range, record, reducedChiSquare, sampler } from './datasets.js';

/** English 800, German 200, Russian 50, parallel; many beside a batch of 4, so that no cell runs dry. */
const records = range(800).map((i) => record(i, `en${i % 4 === 0 ? ' de' : ''}${i % 16 === 0 ? ' ru' : ''}`));

const schemes: [LanguageWeights, (count: number) => number][] = [
  ['equal', () => 1],
  ['proportional', (count) => count],
  [{ temperature: 2 }, (count) => Math.sqrt(count)],
];

const shares = (weights: number[]) => weights.map((weight) => weight / weights.reduce((a, b) => a + b, 0));

/** How often the batches of one seed show each key. */
function tally(keys: string[], seen: string[]): number[] {
  const counts = new Map(keys.map((key) => [key, 0]));
  for (const key of seen) counts.set(key, counts.get(key)! + 1);
  return [...counts.values()];
}

/** Chi-square per degree of freedom, mean over 12 seeds: 1 is expected, 2 is beyond any luck. */
function assertFollows(probabilities: number[], observe: (seed: number) => number[]) {
  const statistics = range(12).map((seed) => reducedChiSquare(observe(seed), probabilities));
  const mean = statistics.reduce((a, b) => a + b, 0) / 12;
  assert.ok(mean < 2, `chi-square ${mean} per degree of freedom`);
}

for (const [languageWeights, weight] of schemes) {
  const name = JSON.stringify(languageWeights);

  test(`monolingual languages are drawn as ${name} asks`, () => {
    const probabilities = shares([200, 800, 50].map(weight));
    const source = (seed: number) =>
      sampler(records, { sampler: 'monolingual', batchSize: 4, languageWeights, seed });
    assertFollows(probabilities, (seed) => {
      const seen = plans(source(seed), 1000).map((plan) => plan.pairs[0]!.queryLanguage);
      return tally(['de', 'en', 'ru'], seen);
    });
    source(0)
      .describe()
      .monolingual.forEach((cell, i) => {
        assert.ok(Math.abs(cell.probability - probabilities[i]!) < 1e-8);
      });
  });

  test(`cross-lingual combinations are drawn as ${name} asks`, () => {
    const counts = { 'de en': 200, 'de ru': 50, 'en de': 200, 'en ru': 50, 'ru de': 50, 'ru en': 50 };
    assertFollows(shares(Object.values(counts).map(weight)), (seed) => {
      const source = sampler(records, { sampler: 'cross_lingual', batchSize: 4, languageWeights, seed });
      const pairs = plans(source, 500).flatMap((plan) => plan.pairs);
      const seen = pairs.map((pair) => `${pair.queryLanguage} ${pair.positiveLanguage}`);
      return tally(Object.keys(counts), seen);
    });
  });
}

for (const alpha of [0.1, 0.5, 0.9]) {
  test(`alpha ${alpha}: that share of the batches is monolingual`, () => {
    assertFollows([alpha, 1 - alpha], (seed) => {
      const source = sampler(records, { alpha, batchSize: 2, seed });
      return tally(
        ['monolingual', 'cross_lingual'],
        plans(source, 1000).map((plan) => plan.kind),
      );
    });
  });
}

test('a record is drawn uniformly from its cell, listed or not', () => {
  for (const language of ['en', 'ru']) {
    const source = sampler(records, { sampler: 'monolingual', languages: [language], batchSize: 5 });
    const size = language === 'en' ? 800 : 50;
    const drawn = new Array(800).fill(0);
    for (const plan of plans(source, 40 * size)) for (const pair of plan.pairs) drawn[pair.record]++;
    const members = drawn.filter((_, i) => language === 'en' || i % 16 === 0);
    assert.equal(members.length, size);
    assert.ok(reducedChiSquare(members, new Array(size).fill(1 / size)) < 1.6);
  }
});
