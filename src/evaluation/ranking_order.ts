/**
 * trec_eval ranks equal scores by document id, descending, and compares ids byte by byte (strcmp over UTF-8). UTF-8
 * order is code point order; UTF-16, which `<` compares, differs where a surrogate meets a unit above it.
 */
export function compareIds(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const left = a.charCodeAt(i);
    const right = b.charCodeAt(i);
    if (left !== right) return codePointOrder(left) - codePointOrder(right);
  }
  return a.length - b.length;
}

/** Moves surrogates above all other UTF-16 units, which is where the code points they stand for belong. */
function codePointOrder(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}

/**
 * The order in which candidates must be added to an index that lets the earlier row win a tie, so that its ranking
 * equals pytrec_eval's. Row r of the index is candidate `order[r]`.
 */
export function tieBreakingOrder(ids: readonly string[]): Int32Array {
  return Int32Array.from(ids.keys()).sort((a, b) => compareIds(ids[b]!, ids[a]!));
}
