/** The k nearest of N rows each: rows and cosines (N, k), best first. */
export interface Neighbours {
  k: number;
  rows: Int32Array;
  scores: Float32Array;
}

/** One direction of a bitext: sentence i should find sentence i. */
export interface BitextScores {
  /** Sentence -> 1 when the nearest is its translation, else 0. */
  correct: number[];
  /** The same by margin. */
  correctByMargin: number[];
  precision: number;
  recall: number;
  f1: number;
}

/**
 * Scores by the nearest neighbour, and by the ratio margin of Artetxe and Schwenk (arXiv 1811.01136), the cosine over
 * the mean of both sides' cosines with their k nearest:
 *
 *     margin(x, y) = cos(x, y) / ((mean_k cos(x, .) + mean_k cos(y, .)) / 2)
 *
 * the best of x's k neighbours, as in LASER's xsim. Precision, recall and F1 are MTEB's: each sentence is a class of its
 * own, averaged over the classes.
 */
export function bitextScores(forward: Neighbours, backward: Neighbours): BitextScores {
  const { k } = forward;
  const found = Int32Array.from({ length: forward.rows.length / k }, (_, i) => forward.rows[i * k]!);
  const margins = bestByMargin(forward, means(forward), means(backward));
  return {
    correct: hits(found),
    correctByMargin: hits(margins),
    ...classAverages(found),
  };
}

const hits = (found: Int32Array) => Array.from(found, (row, i) => (row === i ? 1 : 0));

function bestByMargin({ k, rows, scores }: Neighbours, own: Float64Array, others: Float64Array): Int32Array {
  return Int32Array.from({ length: own.length }, (_, i) => {
    let best = rows[i * k]!;
    let bestMargin = Number.NEGATIVE_INFINITY;
    for (let at = i * k; at < (i + 1) * k; at++) {
      const margin = scores[at]! / ((own[i]! + others[rows[at]!]!) / 2);
      if (margin > bestMargin) [best, bestMargin] = [rows[at]!, margin];
    }
    return best;
  });
}

function means({ k, scores }: Neighbours): Float64Array {
  return Float64Array.from({ length: scores.length / k }, (_, i) => {
    let sum = 0;
    for (let at = i * k; at < (i + 1) * k; at++) sum += scores[at]!;
    return sum / k;
  });
}

/**
 * scikit-learn's weighted averages where class i is true once: with c predictions of class i, one of them right,
 * precision 1 / c, recall 1, F1 2 / (c + 1); all 0 where none is right.
 */
function classAverages(found: Int32Array): Pick<BitextScores, 'precision' | 'recall' | 'f1'> {
  const predicted = new Int32Array(found.length);
  for (const row of found) predicted[row]! += 1;
  const sums = { precision: 0, recall: 0, f1: 0 };
  found.forEach((row, i) => {
    if (row !== i) return;
    sums.precision += 1 / predicted[i]!;
    sums.recall += 1;
    sums.f1 += 2 / (predicted[i]! + 1);
  });
  const share = (sum: number) => sum / found.length;
  return { precision: share(sums.precision), recall: share(sums.recall), f1: share(sums.f1) };
}
