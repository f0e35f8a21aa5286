import type { CodeSwitcher, SideText, SwitchCounts } from '../batches/code_switching/switcher.js';
import type { BatchPlan, PairChoice } from '../batches/plan.js';
import { positiveHash } from '../batches/shared_texts.js';
import type { ParallelRecord } from '../datasets/records.js';
import type { PackedSequences } from '../native.js';
import { pack } from '../tokenizers/packed.js';
import type { TokenCache } from '../tokenizers/token_cache.js';
import type { TrainingOptions } from './options.js';

export interface PreparedBatch extends PackedSequences {
  plan: BatchPlan;
  /** Sequences 0 .. queries - 1 are queries, the next `queries` their passages, the rest hard negatives. */
  queries: number;
  switched: { query: SwitchCounts; passage: SwitchCounts };
}

export interface BatchTexts {
  queries: SideText[];
  /** The positives in the order of the queries, then hard negatives, each text once. */
  passages: SideText[];
}

/** The texts of a planned batch: queries, passages, hard negatives. */
export function batchTexts(
  plan: BatchPlan,
  records: readonly ParallelRecord[],
  options: Pick<TrainingOptions, 'negatives'>,
): BatchTexts {
  const queries = plan.pairs.map(({ record, queryLanguage: language }) => ({
    text: records[record]!.query[language]!,
    language,
  }));
  const positives = plan.pairs.map(({ record, positiveLanguage: language }) => ({
    text: records[record]!.positive[language]!,
    language,
  }));
  return { queries, passages: [...positives, ...hardNegatives(plan.pairs, records, options.negatives)] };
}

/** A text that answers a query of the batch, in whatever language, must not be a negative to it. */
function hardNegatives(
  pairs: readonly PairChoice[],
  records: readonly ParallelRecord[],
  wanted: number,
): SideText[] {
  const having = pairs.filter(
    ({ record, positiveLanguage }) => records[record]!.negatives?.[positiveLanguage]?.length,
  );
  if (wanted === 0 || having.length === 0) return [];
  const answers = new Set(
    pairs.flatMap(({ record }) => Object.values(records[record]!.positive).map(positiveHash)),
  );
  const found = new Map<string, SideText>();
  for (const { record, positiveLanguage: language } of having) {
    const own = records[record]!.negatives![language]!;
    const usable = own.filter((text) => !answers.has(positiveHash(text))).slice(0, wanted);
    for (const text of usable) found.set(text, { text, language });
  }
  return [...found.values()];
}

/** Switches, prompts, tokenises and packs a planned batch. */
export async function prepareBatch(
  plan: BatchPlan,
  records: readonly ParallelRecord[],
  cache: TokenCache,
  options: TrainingOptions,
  switcher?: CodeSwitcher,
): Promise<PreparedBatch> {
  const switched = { query: { words: 0, switched: 0 }, passage: { words: 0, switched: 0 } };
  const { queries, passages } = batchTexts(plan, records, options);
  const textsOf = (side: 'query' | 'passage', texts: SideText[]) =>
    switcher?.switchTexts(plan.n, side, texts, switched[side]) ?? texts.map(({ text }) => text);
  const sequences = await cache.tokens([
    ...textsOf('query', queries).map((text) => options.queryPrompt + text),
    ...textsOf('passage', passages).map((text) => options.passagePrompt + text),
  ]);
  return { ...pack(sequences), plan, queries: plan.pairs.length, switched };
}
