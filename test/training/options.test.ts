import assert from 'node:assert/strict';
import { test } from 'node:test';
import { resolveTrainingOptions } from '#xlembed/training/options.js';
import { learningRateAt } from '#xlembed/training/schedule.js';

test('defaults, and a tenth of the steps as warm-up', () => {
  const options = resolveTrainingOptions({ steps: 200, languages: undefined });
  assert.equal(options.sampler, 'hybrid');
  assert.equal(options.alpha, 0.5);
  assert.equal(options.warmupSteps, 20);
  assert.equal(resolveTrainingOptions({ warmupSteps: 0 }).warmupSteps, 0);
});

test("lists in the options are neither the caller's nor the defaults'", () => {
  const holdOut = ['el'];
  const options = resolveTrainingOptions({ holdOut });
  holdOut.push('de');
  assert.deepEqual(options.holdOut, ['el']);
  resolveTrainingOptions({}).holdOut.push('fr');
  assert.deepEqual(resolveTrainingOptions({}).holdOut, []);
});

test('a wrong option is named with what was expected and received', () => {
  const refused = (given: object, message: RegExp) =>
    assert.throws(() => resolveTrainingOptions(given), { code: 'INVALID_ARGUMENT', message });
  refused({ temperature: 0 }, /temperature.*0 of type number/);
  refused({ alpha: 1.5 }, /alpha.*1\.5/);
  refused({ batchSize: 1 }, /^expected a number of at least 2 for batchSize, received 1 of type number$/);
  refused({ steps: 2.5 }, /^expected a whole number for steps, received 2\.5 of type number$/);
  refused({ seed: 'x' }, /^expected a number for seed, received "x" of type string$/);
  refused(
    { languageWeights: 'x' },
    /^expected 'equal', 'proportional' or \{ temperature \} for languageWeights/,
  );
  refused({ alpha: [{ batch: 5, alpha: 1 }] }, /^expected a number from 0 to 1, .* for alpha/);
  refused(
    { sampler: 'mixed' },
    /^expected monolingual or .* or hybrid for sampler, received "mixed" of type string$/,
  );
  refused({ learningrate: 1 }, /^there is no option learningrate$/);
  refused({ codeSwitching: { mode: 'x' } }, /for codeSwitching\.mode/);
  const lora = { rank: 1, alpha: 1, dropout: 0, targets: ['query'], layers: [], ranks: 2 };
  refused({ lora }, /^there is no option lora\.ranks$/);
  refused({ loss: 'triplet', symmetric: true }, /false with the loss triplet for symmetric/);
  refused({ steps: 10, warmupSteps: 20 }, /from 0 to 10 for warmupSteps, received 20/);
});

test('cosine and constant schedules are those of transformers', () => {
  const rates = (schedule: 'cosine' | 'constant') =>
    [0, 1, 2, 4, 6].map((step) =>
      learningRateAt(step, { learningRate: 2, steps: 6, warmupSteps: 2, schedule }),
    );
  const expected = [0, 1, 2, 1, 0];
  assert.ok(rates('cosine').every((rate, i) => Math.abs(rate - expected[i]!) < 1e-15));
  assert.deepEqual(rates('constant'), [0, 1, 2, 2, 2]);
});

test('warm-up and decay are those of get_linear_schedule_with_warmup', () => {
  const schedule = { learningRate: 2, steps: 10, warmupSteps: 4 };
  const rates = Array.from({ length: 11 }, (_, step) => learningRateAt(step, schedule));
  assert.deepEqual(rates.slice(0, 6), [0, 0.5, 1, 1.5, 2, (2 * 5) / 6]);
  assert.equal(rates[10], 0);
  assert.equal(learningRateAt(0, { learningRate: 2, steps: 10, warmupSteps: 0 }), 2);
  assert.throws(() => learningRateAt(0, { learningRate: 2, steps: 3, warmupSteps: 4 }), {
    code: 'INVALID_ARGUMENT',
  });
});
