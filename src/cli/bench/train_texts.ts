import { createHash } from 'node:crypto';

/** Token ids of queries and their passages. */
export interface TokenPairs {
  queries: Int32Array[];
  passages: Int32Array[];
}

/** Log-normal lengths of one side. */
export interface Lengths {
  median: number;
  /** Standard deviation of the logarithm. */
  spread: number;
  longest: number;
}

/**
 * 16 and 60 tokens on average. Padding wastes what it wastes on real questions with paragraphs (54 % of the columns at
 * 64 pairs, 62 % at 256, XQuAD); the longest is short enough that sentence-transformers' padded batches stay affordable.
 */
export const LONG_PASSAGES = {
  query: { median: 15, spread: 0.3, longest: 64 },
  passage: { median: 56, spread: 0.4, longest: 160 },
};

/** For the memory of many texts, in little time. */
export const SHORT_TEXTS = {
  query: { median: 4, spread: 0.2, longest: 16 },
  passage: { median: 5, spread: 0.3, longest: 32 },
};

/** Every text of so many tokens. */
export function equalLengths(tokens: number): { query: Lengths; passage: Lengths } {
  const lengths = { median: tokens, spread: 0, longest: tokens };
  return { query: lengths, passage: lengths };
}

/** Pairs of random tokens, the same on every machine. */
export function tokenPairs(
  count: number,
  vocabularySize: number,
  seed: number,
  lengths: { query: Lengths; passage: Lengths } = LONG_PASSAGES,
): TokenPairs {
  const random = uniformNumbers(seed);
  const sequence = ({ median, spread, longest }: Lengths) => {
    const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    const length = Math.min(longest, Math.max(4, Math.round(median * Math.exp(spread * normal))));
    return Int32Array.from({ length }, () => 10 + Math.floor(random() * (vocabularySize - 10)));
  };
  const queries = Array.from({ length: count }, () => sequence(lengths.query));
  const passages = Array.from({ length: count }, () => sequence(lengths.passage));
  return { queries, passages };
}

/** Share of padding when queries and passages are each padded to their longest. */
export function paddingShare({ queries, passages }: TokenPairs): number {
  const padded = [queries, passages].reduce(
    (sum, side) => sum + side.length * Math.max(...side.map(({ length }) => length)),
    0,
  );
  const real = [...queries, ...passages].reduce((sum, { length }) => sum + length, 0);
  return 1 - real / padded;
}

/** Numbers in [0, 1): SHA-256 of seed and count, eight at a time. */
function uniformNumbers(seed: number): () => number {
  let block = 0;
  let ready: number[] = [];
  return () => {
    if (ready.length === 0) {
      const bytes = createHash('sha256').update(`${seed}/${block++}`).digest();
      ready = Array.from({ length: 8 }, (_, k) => bytes.readUInt32LE(4 * k) / 2 ** 32);
    }
    return ready.pop()!;
  };
}
