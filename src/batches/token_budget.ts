import { invalidArgument } from '../errors.js';

/**
 * Groups sequences into batches of at most `budget` tokens, shortest first, so that a batch holds like lengths. A
 * sequence longer than the budget gets a batch of its own. Returns positions in `lengths`; each occurs once.
 */
export function batchByTokens(lengths: ArrayLike<number>, budget: number): number[][] {
  if (!Number.isInteger(budget) || budget < 1)
    throw invalidArgument('tokenBudget', 'an integer above 0', budget);
  const order = Array.from(lengths, (_, position) => position);
  order.sort((a, b) => lengths[a]! - lengths[b]! || a - b);
  const batches: number[][] = [];
  let tokens = Number.POSITIVE_INFINITY;
  for (const position of order) {
    tokens += lengths[position]!;
    if (tokens > budget) {
      batches.push([]);
      tokens = lengths[position]!;
    }
    batches.at(-1)!.push(position);
  }
  return batches;
}
