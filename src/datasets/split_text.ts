/**
 * Ends of sentences and clauses in any script: ASCII and Greek marks before a space or a Han character, the marks
 * of Chinese, Arabic and Devanagari anywhere, and the space itself in Thai, which has no other mark.
 */
const clauseEnd = /[.,;:!?·](?=\s|\p{Script=Han})|[。；：，、！？،؛؟।]|(?<=\p{Script=Thai})(?=\s)/gu;

/**
 * Cuts a text at the sentence or clause end nearest its middle; where it has none inside, between the two words
 * nearest its middle; undefined for a single word.
 */
export function splitNearMiddle(text: string): [string, string] | undefined {
  const end = nearestToMiddle(text, clauseEnds(text)) ?? nearestToMiddle(text, wordStarts(text));
  return end === undefined ? undefined : [text.slice(0, end).trim(), text.slice(end).trim()];
}

function clauseEnds(text: string): number[] {
  return [...text.matchAll(clauseEnd)].map((match) => match.index + match[0].length);
}

function wordStarts(text: string): number[] {
  const segments = new Intl.Segmenter('und', { granularity: 'word' }).segment(text);
  return [...segments].filter(({ isWordLike }) => isWordLike).map(({ index }) => index);
}

/** Of the positions that leave text on both sides. */
function nearestToMiddle(text: string, positions: readonly number[]): number | undefined {
  const middle = text.length / 2;
  return positions
    .filter((position) => text.slice(0, position).trim() !== '' && text.slice(position).trim() !== '')
    .sort((a, b) => Math.abs(a - middle) - Math.abs(b - middle))[0];
}
