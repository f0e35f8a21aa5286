import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SharedTexts } from '#xlembed/batches/shared_texts.js';
import type { ParallelRecord } from '#xlembed/datasets/records.js';
import { Encoder } from '#xlembed/encoding/encoder.js';
import { batchLabels } from '#xlembed/training/labels.js';
import type { TrainingOptions } from '#xlembed/training/options.js';
import { batchTexts } from '#xlembed/training/prepare.js';
import { Trainer } from '#xlembed/training/trainer.js';
import { folderOf } from '../encoding/goldens.js';

const RECORDS: ParallelRecord[] = Array.from({ length: 12 }, (_, n) => ({
  id: `r${n}`,
  query: { a: `w${10 + n}`, b: `w${30 + n}` },
  positive: { a: `w${50 + n} w9`, b: `w${70 + n} w8` },
  negatives: { a: [`w${40 + n}`, 'w42 w43'], b: [`w${20 + n}`] },
  positiveScores: { a: 10 + n, b: 20 + n },
  negativeScores: { a: [1 + n / 100, 2 + n / 100], b: [3] },
}));
const pairs = [
  { record: 0, queryLanguage: 'b', positiveLanguage: 'a' },
  { record: 3, queryLanguage: 'a', positiveLanguage: 'a' },
];

function labels(records: ParallelRecord[], given: Partial<TrainingOptions>) {
  const options = {
    negatives: 2,
    negativeLanguage: 'same',
    duplicates: 'avoid',
    inBatchNegatives: 'any',
  } as const;
  const all = { ...options, loss: 'info_nce' as const, ...given };
  const source = { languages: ['a', 'b'], shared: SharedTexts.among(records) };
  const texts = batchTexts({ n: 0, kind: 'cross_lingual', pairs }, records, source, all);
  return {
    ...batchLabels(pairs, records, texts, source.shared, all),
    passages: texts.passages.map(({ text }) => text),
  };
}

test("a teacher's scores stand where the passages do, NaN elsewhere; a shared negative has one for each query", () => {
  const { teacherScores, passages } = labels(RECORDS, { loss: 'kl_distillation' });
  assert.deepEqual(passages, ['w50 w9', 'w53 w9', 'w40', 'w42 w43', 'w43']);
  const expected = [10, NaN, 1, 2, NaN, NaN, 13, NaN, 2.03, 1.03];
  assert.deepEqual([...teacherScores!], [...Float32Array.from(expected)]);
  assert.equal(labels(RECORDS, {}).teacherScores, undefined);
});

test('masks: groups of positives that share a text, languages of queries and passages', () => {
  const records = RECORDS.map((record) => ({ ...record, positiveId: 'one' }));
  const masked = labels(records, { duplicates: 'mask', inBatchNegatives: 'same' });
  assert.deepEqual([...masked.passageGroups!], [0, 0, -1, -1, -1]);
  assert.deepEqual([...masked.queryLanguages!], [0, 1]);
  assert.deepEqual(labels(records, { inBatchNegatives: 'other' }).queryLanguages, masked.queryLanguages);
  assert.equal(labels(records, {}).queryLanguages, undefined);
  assert.deepEqual([...masked.passageLanguages!], [1, 1, 1, 1, 1]);
  // Record 5, outside the batch, asks what record 0 asks and is answered by record 3's positive.
  const third = { ...RECORDS[5]!, query: RECORDS[0]!.query, positive: RECORDS[3]!.positive };
  const apart = labels(RECORDS.with(5, third), { duplicates: 'mask' });
  assert.deepEqual([...apart.passageGroups!], [0, 0, -1, -1, -1]);
});

test('distillation brings the scores nearer to the teacher; without scores it is refused', async () => {
  const encoder = await Encoder.load(folderOf('bert'));
  const options = { loss: 'margin_mse', batchSize: 6, steps: 40, learningRate: 5e-3, negatives: 2 } as const;
  const scored = RECORDS.map((record) => ({
    ...record,
    positiveScores: { a: 0.9, b: 0.8 },
    negativeScores: { a: [0.2, 0.5], b: [0.1] },
  }));
  const trainer = await Trainer.create(encoder, scored, { ...options, sampler: 'monolingual' });
  const losses: number[] = [];
  for await (const { loss } of trainer.run()) losses.push(loss);
  assert.ok(losses.at(-1)! < losses[0]! / 2, losses.join(' '));
  const { loss } = await trainer.lossOn(scored)();
  assert.ok(loss > 0 && loss < losses[0]!);
  trainer.dispose();
  const bare = RECORDS.map(({ positiveScores: _, negativeScores: __, ...record }) => record);
  await assert.rejects(Trainer.create(encoder, bare, options), {
    code: 'INVALID_ARGUMENT',
  });
  await encoder.dispose();
});
