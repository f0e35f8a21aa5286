import type { CodeSwitcher, SideText, SwitchCounts } from '../batches/code_switching/switcher.js';
import type { BatchPlan, PairChoice, Sampler } from '../batches/plan.js';
import { positiveHash } from '../batches/shared_texts.js';
import type { ParallelRecord } from '../datasets/records.js';
import type { PackedSequences } from '../native.js';
import { pack } from '../tokenizers/packed.js';
import type { TokenCache } from '../tokenizers/token_cache.js';
import { type BatchLabels, batchLabels } from './labels.js';
import type { TrainingOptions } from './options.js';
import { type Part, Share } from './share.js';

export interface PreparedBatch extends PackedSequences, BatchLabels {
  plan: BatchPlan;
  /** Sequences 0 .. queries - 1 are queries, the next `queries` their passages, the rest hard negatives. */
  queries: number;
  /** Of the whole batch, where this is one process's share of it. */
  allQueries?: number;
  allPassages?: number;
  switched: { query: SwitchCounts; passage: SwitchCounts };
}

export interface BatchTexts {
  queries: SideText[];
  /** The positives in the order of the queries, then hard negatives, each text once. */
  passages: SideText[];
  /** Of each pair, those of its record that are among the passages. */
  negatives: HardNegative[][];
}

export interface HardNegative extends SideText {
  /** A teacher's. */
  score?: number | undefined;
}

/** The texts of a planned batch: queries, passages, hard negatives in training languages. */
export function batchTexts(
  plan: BatchPlan,
  records: readonly ParallelRecord[],
  { languages, shared }: Pick<Sampler, 'languages' | 'shared'>,
  options: Pick<TrainingOptions, 'negatives' | 'negativeLanguage'>,
): BatchTexts {
  const queries = plan.pairs.map(({ record, queryLanguage: language }) => ({
    text: records[record]!.query[language]!,
    language,
  }));
  const positives = plan.pairs.map(({ record, positiveLanguage: language }) => ({
    text: records[record]!.positive[language]!,
    language,
  }));
  const negatives = hardNegatives(plan.pairs, records, { languages, shared }, options);
  const distinct = new Map(negatives.flat().map(({ text, language }) => [text, { text, language }]));
  return { queries, passages: [...positives, ...distinct.values()], negatives };
}

/**
 * Of each record the first `negatives` that answer no query of the batch, in whatever language and whichever record
 * says so: what answers one must not be a negative to it.
 */
function hardNegatives(
  pairs: readonly PairChoice[],
  records: readonly ParallelRecord[],
  { languages, shared }: Pick<Sampler, 'languages' | 'shared'>,
  options: Pick<TrainingOptions, 'negatives' | 'negativeLanguage'>,
): HardNegative[][] {
  const candidates = pairs.map((pair) => negativesOf(pair, records, languages, options.negativeLanguage));
  if (options.negatives === 0 || candidates.every((texts) => texts.length === 0)) return pairs.map(() => []);
  const answering = new Set(pairs.flatMap(({ record }) => shared.askingTheSame(record)));
  const answers = new Set(
    [...answering].flatMap((record) =>
      Object.values(records[record]!.positive).map((text) => positiveHash(text)),
    ),
  );
  return candidates.map((own) =>
    own.filter(({ text }) => !answers.has(positiveHash(text))).slice(0, options.negatives),
  );
}

/** A record's negatives in the wanted ones of the training languages: first those that stand first in each. */
function negativesOf(
  { record, positiveLanguage }: PairChoice,
  records: readonly ParallelRecord[],
  languages: readonly string[],
  policy: TrainingOptions['negativeLanguage'],
): HardNegative[] {
  const { negatives, negativeScores } = records[record]!;
  if (!negatives) return [];
  const wanted = languages.filter(
    (language) => policy === 'any' || (language === positiveLanguage) === (policy === 'same'),
  );
  return wanted
    .flatMap((language) =>
      (negatives[language] ?? []).map((text, rank) => {
        const score = negativeScores?.[language]?.[rank];
        return { text, language, rank, ...(score !== undefined && { score }) };
      }),
    )
    .sort((a, b) => a.rank - b.rank)
    .map(({ rank: _, ...negative }) => negative);
}

/** Switches, prompts, tokenises and packs a planned batch, or the share of one process. */
export async function prepareBatch(
  plan: BatchPlan,
  records: readonly ParallelRecord[],
  sampler: Pick<Sampler, 'languages' | 'shared'>,
  cache: TokenCache,
  options: TrainingOptions,
  switcher?: CodeSwitcher,
  part: Part = { rank: 0, size: 1 },
): Promise<PreparedBatch> {
  const switched = { query: { words: 0, switched: 0 }, passage: { words: 0, switched: 0 } };
  const batch = batchTexts(plan, records, sampler, options);
  const [allQueries, allPassages] = [batch.queries.length, batch.passages.length];
  const share = new Share(allQueries, allPassages, part);
  const [queries, passages] = [share.queries(batch.queries), share.passages(batch.passages)];
  const textsOf = (side: 'query' | 'passage', texts: SideText[]) =>
    switcher?.switchTexts(plan.n, side, texts, switched[side]) ?? texts.map(({ text }) => text);
  const sequences = await cache.tokens([
    ...textsOf('query', queries).map((text) => options.queryPrompt + text),
    ...textsOf('passage', passages).map((text) => options.passagePrompt + text),
  ]);
  const labels = share.labels(batchLabels(plan.pairs, records, batch, sampler.shared, options));
  return { ...pack(sequences), ...labels, plan, queries: queries.length, allQueries, allPassages, switched };
}
