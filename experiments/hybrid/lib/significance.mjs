// Two regimes of an encoder, question by question and seed by seed. A seed's runs share data order and starting weights.
import { pairedPermutationTest } from 'xlembed';
import { randomNumbers } from './random.mjs';
import { mean } from './results.mjs';

const RESAMPLES = 2000;

/**
 * Difference of two regimes' scores in the seeds that both have; its 95 % interval by a bootstrap over seeds and, within
 * them, over questions; p of the permutation test over questions, whose scores are means over the seeds.
 */
export function compareRegimes(first, second, task, key) {
  const shared = first.flatMap((a) => {
    const b = second.find(({ seed }) => seed === a.seed);
    const scores = [a, b].map((result) => result?.questions[task]?.scores[key]);
    return scores[0] && scores[1] ? [{ seed: a.seed, scores }] : [];
  });
  if (shared.length === 0) return undefined;
  const perSeed = shared.map(({ scores: [a, b] }) => a.map((value, i) => value - b[i]));
  const average = (side) => perSeed[0].map((_, i) => mean(shared.map(({ scores }) => scores[side][i])));
  const { difference, pValue } = pairedPermutationTest(average(0), average(1), {
    permutations: RESAMPLES * 5,
    seed: 0,
  });
  return {
    difference,
    pValue,
    seeds: shared.length,
    interval: interval(perSeed),
    sameSign: perSeed.every((differences) => Math.sign(mean(differences)) === Math.sign(difference)),
  };
}

function interval(perSeed) {
  const random = randomNumbers(1);
  const below = (n) => Math.floor(random() * n);
  const questions = perSeed[0].length;
  const means = Float64Array.from({ length: RESAMPLES }, () => {
    let sum = 0;
    // The same questions in every seed drawn, as every seed is measured on the same ones.
    const drawn = Array.from({ length: perSeed.length }, () => perSeed[below(perSeed.length)]);
    for (let i = 0; i < questions; i++) {
      const question = below(questions);
      for (const differences of drawn) sum += differences[question];
    }
    return sum / questions / perSeed.length;
  }).sort();
  return { low: means[Math.floor(0.025 * RESAMPLES)], high: means[Math.ceil(0.975 * RESAMPLES) - 1] };
}

/** Holm's step-down correction (1979): p values of a family, in their order. */
export function holm(pValues) {
  const order = pValues.map((p, i) => [p, i]).sort((a, b) => a[0] - b[0]);
  const corrected = [];
  let largest = 0;
  order.forEach(([p, i], rank) => {
    largest = Math.max(largest, Math.min(1, p * (pValues.length - rank)));
    corrected[i] = largest;
  });
  return corrected;
}
