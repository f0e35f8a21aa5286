import { invalidArgument } from '../errors.js';

export interface ScheduleOptions {
  /** Highest learning rate. */
  learningRate: number;
  /** Steps of the whole run. */
  steps: number;
  /** Steps of linear growth from 0. */
  warmupSteps: number;
}

/**
 * Linear warm-up, then linear decay to 0 after the last step: the factors of transformers'
 * get_linear_schedule_with_warmup. Step 0 is the first.
 */
export function learningRateAt(step: number, { learningRate, steps, warmupSteps }: ScheduleOptions): number {
  if (warmupSteps < 0 || warmupSteps > steps) {
    throw invalidArgument('warmupSteps', `a number from 0 to ${steps}`, warmupSteps);
  }
  if (step < warmupSteps) return (learningRate * step) / Math.max(1, warmupSteps);
  return (learningRate * Math.max(0, steps - step)) / Math.max(1, steps - warmupSteps);
}
