import type { SwitchCounts } from '../batches/code_switching/switcher.js';
import type { BatchPlan } from '../batches/plan.js';
import type { NativeStepResult } from '../native.js';
import type { PreparedBatch } from './prepare.js';

/** What a training step tells. */
export interface StepEvent extends Omit<NativeStepResult, 'counts'> {
  /** From 1. */
  step: number;
  kind: BatchPlan['kind'] | 'mixed';
  learningRate: number;
  pairs: number;
  tokens: number;
  /** Words of the texts that a lexicon serves, and how many were replaced; only with code switching. */
  switched?: { query: SwitchCounts; passage: SwitchCounts };
  /** Seconds that the step waited for its batch. */
  waitSeconds: number;
  /** Seconds of the whole step, waiting included; validation and checkpoints are not. */
  seconds: number;
  /** What was measured after this step; only where an evaluation was due. */
  validation?: Record<string, number>;
  /** True where the watched measure is the best so far. */
  best?: boolean;
  /** True where the signal of one of the processes has asked for the end: this step is the last. */
  stopping?: boolean;
}

export const sum = <Item>(items: readonly Item[], value: (item: Item) => number): number =>
  items.reduce((total, item) => total + value(item), 0);

/** One result for batches whose gradients were added up: means of loss and accuracy, sums of work, the last state. */
export function wholeStep(results: readonly NativeStepResult[]): NativeStepResult {
  const mean = (value: (result: NativeStepResult) => number) => sum(results, value) / results.length;
  return {
    ...results.at(-1)!,
    loss: mean(({ loss }) => loss),
    accuracy: mean(({ accuracy }) => accuracy),
    skipped: results.some(({ skipped }) => skipped),
    chunks: sum(results, ({ chunks }) => chunks),
    counts: results[0]!.counts.map((_, k) => sum(results, ({ counts }) => counts[k]!)),
    modelSeconds: sum(results, ({ modelSeconds }) => modelSeconds),
    lossSeconds: sum(results, ({ lossSeconds }) => lossSeconds),
    optimizerSeconds: sum(results, ({ optimizerSeconds }) => optimizerSeconds),
  };
}

/** What is added up over the processes of a step: tokens, words, switched words, and the wish to stop. */
export function countsOf(batch: PreparedBatch, signal: AbortSignal | undefined): number[] {
  const { query, passage } = batch.switched;
  const words = [query.words, query.switched, passage.words, passage.switched];
  return [batch.inputIds.length, ...words, signal?.aborted ? 1 : 0];
}

export function readCounts(counts: readonly number[]) {
  const [tokens, queryWords, querySwitched, passageWords, passageSwitched, stoppers] = counts as [
    ...[number, number, number, number, number, number],
  ];
  return {
    tokens,
    switched: {
      query: { words: queryWords, switched: querySwitched },
      passage: { words: passageWords, switched: passageSwitched },
    },
    stoppers,
  };
}
