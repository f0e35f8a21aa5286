import { z } from 'zod';
import { anyOptions, checkOptions } from '../../checked_options.js';
import { invalidArgument } from '../../errors.js';

export interface MiningOptions {
  /** Negatives wanted for each positive. Default 5. */
  negatives?: number | undefined;
  /**
   * First and last rank to take negatives from, best ranks first: 1 is the passage that scores highest among those that
   * do not answer the query. Default [10, 100]: the first few are often answers that nobody has marked.
   */
  ranks?: [first: number, last: number] | undefined;
  /** A negative's score must lie this far below that of the positive. */
  margin?: number | undefined;
  /** The same as a share of the positive's score: 0.05 asks for at most 95 % of it. */
  relativeMargin?: number | undefined;
  /** Languages of negatives, seen from the positive's: its own, all others, or any. Default 'same'. */
  language?: 'same' | 'other' | 'any' | undefined;
}

export interface ResolvedMiningOptions extends MiningOptions {
  negatives: number;
  ranks: [first: number, last: number];
  language: 'same' | 'other' | 'any';
}

const schema = z.strictObject({
  negatives: z.int().min(1),
  ranks: z.tuple([z.int().min(1), z.int().min(1)]).refine(([first, last]) => first <= last),
  margin: z.number().min(0).optional(),
  relativeMargin: z.number().min(0).max(1).optional(),
  language: z.enum(['same', 'other', 'any']),
});

const EXPECTED: Record<string, string> = {
  negatives: 'a whole number above 0',
  ranks: 'two ranks from 1 on, the first not above the last',
  margin: 'a number of 0 or more',
  relativeMargin: 'a number from 0 to 1',
  language: 'same, other or any',
};

/** Fills in the defaults. Throws INVALID_ARGUMENT naming the first wrong field. */
export function resolveMiningOptions(given: MiningOptions = {}): ResolvedMiningOptions {
  checkOptions(anyOptions, given);
  const { negatives = 5, ranks = [10, 100], language = 'same', ...margins } = given;
  const options: ResolvedMiningOptions = { negatives, ranks, language, ...margins };
  const name = schema.safeParse(options).error?.issues.find(({ path }) => path.length > 0)?.path[0];
  if (name !== undefined)
    throw invalidArgument(String(name), EXPECTED[String(name)]!, options[name as keyof MiningOptions]);
  // One that there is not.
  checkOptions(schema, options);
  return options;
}
