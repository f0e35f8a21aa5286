import { invalidArgument } from '../errors.js';

export type ScheduleName = 'linear' | 'cosine' | 'constant';

export interface ScheduleOptions {
  /** What follows the warm-up. Default 'linear'. */
  schedule?: ScheduleName;
  /** Highest learning rate. */
  learningRate: number;
  /** Steps of the whole run. */
  steps: number;
  /** Steps of linear growth from 0. */
  warmupSteps: number;
}

/** Share of the highest rate, by the share of the steps after the warm-up that are done. */
const DECAY: Record<ScheduleName, (done: number) => number> = {
  linear: (done) => 1 - done,
  cosine: (done) => 0.5 * (1 + Math.cos(Math.PI * done)),
  constant: () => 1,
};

/**
 * Linear warm-up, then decay to 0 after the last step (or none): the factors of transformers'
 * get_{linear,cosine,constant}_schedule_with_warmup. Step 0 is the first.
 */
export function learningRateAt(step: number, options: ScheduleOptions): number {
  const { learningRate, steps, warmupSteps, schedule = 'linear' } = options;
  if (warmupSteps < 0 || warmupSteps > steps) {
    throw invalidArgument('warmupSteps', `a number from 0 to ${steps}`, warmupSteps);
  }
  if (step < warmupSteps) return (learningRate * step) / Math.max(1, warmupSteps);
  const done = Math.min(1, (step - warmupSteps) / Math.max(1, steps - warmupSteps));
  return learningRate * DECAY[schedule](done);
}
