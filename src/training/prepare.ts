import type { BatchPlan } from '../batches/plan.js';
import type { ParallelRecord } from '../datasets/records.js';
import type { PackedSequences } from '../native.js';
import { pack } from '../tokenizers/packed.js';
import type { TokenCache } from '../tokenizers/token_cache.js';
import type { TrainingOptions } from './options.js';

export interface PreparedBatch extends PackedSequences {
  plan: BatchPlan;
  /** Sequences 0 .. queries - 1 are queries, the next `queries` their passages, the rest hard negatives. */
  queries: number;
}

/** The texts of a planned batch, prompts applied: queries, passages, hard negatives. */
export function batchTexts(
  plan: BatchPlan,
  records: readonly ParallelRecord[],
  options: Pick<TrainingOptions, 'queryPrompt' | 'passagePrompt' | 'negatives'>,
): string[] {
  const queries = plan.pairs.map(({ record, queryLanguage }) => records[record]!.query[queryLanguage]!);
  const positives = plan.pairs.map(
    ({ record, positiveLanguage }) => records[record]!.positive[positiveLanguage]!,
  );
  const answers = new Set(positives);
  const negatives = plan.pairs.flatMap(({ record, positiveLanguage }) => {
    const own = records[record]!.negatives?.[positiveLanguage] ?? [];
    // A text that answers one query of the batch must not be a negative to it.
    return own.filter((text) => !answers.has(text)).slice(0, options.negatives);
  });
  return [
    ...queries.map((text) => options.queryPrompt + text),
    ...[...positives, ...new Set(negatives)].map((text) => options.passagePrompt + text),
  ];
}

/** Tokenises and packs a planned batch. */
export async function prepareBatch(
  plan: BatchPlan,
  records: readonly ParallelRecord[],
  cache: TokenCache,
  options: TrainingOptions,
): Promise<PreparedBatch> {
  const sequences = await cache.tokens(batchTexts(plan, records, options));
  return { ...pack(sequences), plan, queries: plan.pairs.length };
}
