/**
 * Language bias, the rank distance of Elmahdy, Lin and Ahmad (arXiv 2408.10536): how far apart a query's equally
 * relevant candidates, one per language, stand in a pool of all languages. 0 would need equal ranks; with L languages
 * the smallest possible distance is L - 1.
 */

/** Largest rank minus smallest rank of one query's relevant candidates; undefined for fewer than two of them. */
export function rankDistance(ranks: ArrayLike<number>): number | undefined {
  if (ranks.length < 2) return undefined;
  let smallest = Number.POSITIVE_INFINITY;
  let largest = 0;
  for (let i = 0; i < ranks.length; i++) {
    smallest = Math.min(smallest, ranks[i]!);
    largest = Math.max(largest, ranks[i]!);
  }
  return largest - smallest;
}

/** Mean rank distance over the queries of one language; undefined when none has two relevant candidates. */
export function languageBias(rankings: Iterable<{ ranks: ArrayLike<number> }>): number | undefined {
  let sum = 0;
  let queries = 0;
  for (const { ranks } of rankings) {
    const distance = rankDistance(ranks);
    if (distance === undefined) continue;
    sum += distance;
    queries++;
  }
  return queries === 0 ? undefined : sum / queries;
}
