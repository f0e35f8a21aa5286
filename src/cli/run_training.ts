import type { LossPoint } from '../report/results.js';
import type { TokenCacheCounts } from '../tokenizers/token_cache.js';
import type { StepEvent, Trainer } from '../training/trainer.js';
import type { Console } from './console.js';

export interface TrainingTotals {
  steps: number;
  pairs: number;
  tokens: number;
  /** Steps whose loss or gradient was not finite. */
  skipped: number;
  lastLoss: number;
  /** True when onStep ended the run before its last step. */
  interrupted: boolean;
  seconds: number;
  /** Texts tokenised, and what was done to them. */
  texts: TokenCacheCounts;
  lossCurve: LossPoint[];
}

export interface RunTrainingOptions {
  label: string;
  failedBatchPath?: string;
  /** Called after each step; false ends the run. */
  onStep?: (event: StepEvent) => Promise<boolean> | boolean;
}

/** Runs a trainer to its end with a progress line, and adds up what happened. */
export async function runTraining(
  trainer: Trainer,
  console: Console,
  { label, failedBatchPath, onStep }: RunTrainingOptions,
): Promise<TrainingTotals> {
  const progress = console.progress(label, trainer.options.steps);
  const totals = { steps: 0, pairs: 0, tokens: 0, skipped: 0, lastLoss: Number.NaN, interrupted: false };
  const lossCurve: LossPoint[] = [];
  const begun = performance.now();
  try {
    for await (const event of trainer.run(failedBatchPath)) {
      const { step, loss, accuracy, pairs, tokens, skipped } = event;
      totals.steps = step;
      totals.pairs += pairs;
      totals.tokens += tokens;
      totals.skipped += skipped ? 1 : 0;
      totals.lastLoss = loss;
      lossCurve.push({ step, loss, accuracy });
      progress.update(step, stepLine(event));
      const goOn = (await onStep?.(event)) ?? true;
      totals.interrupted = !goOn && step < trainer.options.steps;
      if (!goOn) break;
    }
  } finally {
    progress.stop();
  }
  const seconds = (performance.now() - begun) / 1000;
  return { ...totals, seconds, texts: { ...trainer.textCounts }, lossCurve };
}

function stepLine({ loss, accuracy, learningRate, pairs, tokens, seconds }: StepEvent): string {
  return [
    `loss ${loss.toFixed(3)}`,
    `accuracy in batch ${accuracy.toFixed(2)}`,
    `learning rate ${learningRate.toExponential(1)}`,
    `${(pairs / seconds).toFixed(0)} pairs/s`,
    `${(tokens / seconds).toFixed(0)} tokens/s`,
  ].join(' | ');
}
