/** Consecutive texts, from the `first`-th on. */
export interface Window {
  first: number;
  texts: readonly string[];
}

/**
 * Texts tokenised and sorted by length together, at most: enough to fill some batches evenly, and few enough that a
 * GPU gets the first of them while later ones are tokenised.
 */
const most = { texts: 4096, characters: 2 ** 20 };

/** Cuts texts into windows, by number and by size, for which a text counts `charactersOfText` at most. */
export function* windowsOf(texts: readonly string[], charactersOfText: number): Generator<Window> {
  let [first, characters] = [0, 0];
  for (const [n, text] of texts.entries()) {
    characters += Math.min(text.length, charactersOfText);
    if (n - first + 1 < most.texts && characters < most.characters) continue;
    yield { first, texts: texts.slice(first, n + 1) };
    [first, characters] = [n + 1, 0];
  }
  if (first < texts.length) yield { first, texts: texts.slice(first) };
}
