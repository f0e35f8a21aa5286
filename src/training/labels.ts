import type { PairChoice } from '../batches/plan.js';
import { groupsOfConflict, type SharedTexts } from '../batches/shared_texts.js';
import type { ParallelRecord } from '../datasets/records.js';
import type { NativeTrainingBatch } from '../native.js';
import type { TrainingOptions } from './options.js';
import type { BatchTexts, HardNegative } from './prepare.js';

export type BatchLabels = Pick<
  NativeTrainingBatch,
  'passageGroups' | 'queryLanguages' | 'passageLanguages' | 'teacherScores'
>;

export const distils = ({ loss }: Pick<TrainingOptions, 'loss'>): boolean =>
  loss === 'kl_distillation' || loss === 'margin_mse';

/** What the loss must know of a batch beside its texts, as the options ask for it. */
export function batchLabels(
  pairs: readonly PairChoice[],
  records: readonly ParallelRecord[],
  texts: BatchTexts,
  shared: SharedTexts,
  options: Pick<TrainingOptions, 'loss' | 'duplicates' | 'inBatchNegatives'>,
): BatchLabels {
  return {
    ...(options.duplicates === 'mask' && { passageGroups: passageGroups(pairs, texts, shared) }),
    ...(options.inBatchNegatives !== 'any' && languageNumbers(texts)),
    ...(distils(options) && { teacherScores: teacherScores(pairs, records, texts) }),
  };
}

/** (passages): positives of records that conflict are one group; hard negatives are in none. */
function passageGroups(
  pairs: readonly PairChoice[],
  { passages }: BatchTexts,
  shared: SharedTexts,
): Int32Array {
  const groups = new Int32Array(passages.length).fill(-1);
  const of = pairs.map(({ record }) => record);
  groups.set(groupsOfConflict(of, shared));
  return groups;
}

function languageNumbers({ queries, passages }: BatchTexts): BatchLabels {
  const numbers = new Map<string, number>();
  const numberOf = ({ language }: { language: string }) => {
    if (!numbers.has(language)) numbers.set(language, numbers.size);
    return numbers.get(language)!;
  };
  return {
    queryLanguages: Int32Array.from(queries, numberOf),
    passageLanguages: Int32Array.from(passages, numberOf),
  };
}

/** (queries, passages), NaN but for each query's own positive and hard negatives. */
function teacherScores(
  pairs: readonly PairChoice[],
  records: readonly ParallelRecord[],
  { passages, negatives }: BatchTexts,
): Float32Array {
  const scores = new Float32Array(pairs.length * passages.length).fill(Number.NaN);
  const columns = new Map(passages.slice(pairs.length).map(({ text }, k) => [text, pairs.length + k]));
  pairs.forEach(({ record, positiveLanguage }, i) => {
    const row = scores.subarray(i * passages.length, (i + 1) * passages.length);
    row[i] = records[record]!.positiveScores?.[positiveLanguage] ?? Number.NaN;
    for (const { text, score } of negatives[i] as HardNegative[]) {
      const column = columns.get(text);
      if (column !== undefined && score !== undefined) row[column] = score;
    }
  });
  return scores;
}
