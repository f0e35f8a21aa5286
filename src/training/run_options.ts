import { z } from 'zod';
import { functionSchema, signalSchema } from '../checked_options.js';
import { Checkpoints } from './checkpoints.js';
import type { WatchOptions } from './watch.js';

export interface ValidationOptions {
  /** Steps from one evaluation to the next; one more comes after the last step. */
  every: number;
  measure: (step: number) => Promise<Record<string, number>>;
  /** Decides which model is the best, and when to stop. */
  watch?: WatchOptions | undefined;
}

export interface RunOptions {
  /** Gets the ids of a batch that ended the run. Default `failed_batch.json`. */
  failedBatchPath?: string | undefined;
  validation?: ValidationOptions | undefined;
  /** Where and how often (in steps) the run is saved; also at the best step, and where the loop is left. */
  checkpoints?: { to: Checkpoints; every: number } | undefined;
  /** Aborted, in one process or all, it ends the run after the step in hand: in a process group the way to stop early. */
  signal?: AbortSignal | undefined;
}

const count = z.int().min(1);
/** What run() takes. */
export const runOptions = z.strictObject({
  failedBatchPath: z.string().optional(),
  validation: z
    .strictObject({
      every: count,
      measure: functionSchema,
      watch: z
        .strictObject({ measure: z.string(), task: z.string().optional(), patience: count.optional() })
        .optional(),
    })
    .optional(),
  checkpoints: z
    .strictObject({
      to: z.custom((value) => value instanceof Checkpoints, 'what Checkpoints.open gives'),
      every: count,
    })
    .optional(),
  signal: signalSchema.optional(),
});

/** What the processes of a group must have alike: at each evaluation and each checkpoint all wait for the first. */
export function meetingPoints({ validation, checkpoints }: RunOptions): Record<string, string | number> {
  return {
    'how often the run is saved': checkpoints?.every ?? 'never',
    'how often it is evaluated': validation?.every ?? 'never',
    'the watched measure': JSON.stringify(validation?.watch ?? 'none'),
  };
}
