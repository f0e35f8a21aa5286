// Does a training text occur in what is measured? Texts are compared without case, marks of punctuation and width.

/** What a token weighs; a window is as many tokens in a row as weigh 1: eight words, 13 of Han's or 32 Thai characters. */
const WEIGHTS = { word: 1 / 8, Han: 1 / 13, Thai: 1 / 32 };
/** Shorter texts are too common to be a sign of anything: equal ones count from here on. Characters. */
const SHORTEST_EQUAL = 20;
/** From the worst on. */
const KINDS = ['identical', 'near_identical', 'overlapping'];

export function normalise(text) {
  return text
    .normalize('NFKC')
    .toLowerCase()
    .replace(/[^\p{L}\p{M}\p{N}]+/gu, ' ')
    .trim();
}

/** Words; of scripts without spaces, characters. */
function tokensOf(normalised) {
  return normalised.match(/[\p{Script=Han}\p{Script=Thai}]|[^\s\p{Script=Han}\p{Script=Thai}]+/gu) ?? [];
}

function weightOf(token) {
  if (/\p{Script=Thai}/u.test(token)) return WEIGHTS.Thai;
  return /\p{Script=Han}/u.test(token) ? WEIGHTS.Han : WEIGHTS.word;
}

function* windows(tokens) {
  const weights = tokens.map(weightOf);
  let [end, weight] = [0, 0];
  for (let first = 0; first < tokens.length; first++) {
    while (end < tokens.length && weight < 1 - 1e-9) weight += weights[end++];
    if (weight < 1 - 1e-9) return;
    yield tokens.slice(first, end).join(' ');
    weight -= weights[first];
  }
}

/** The texts of an evaluation; `find` says how a text overlaps with them. */
export class Leakage {
  #texts = new Set();
  #windows = new Set();

  add(text) {
    const normalised = normalise(text);
    this.#texts.add(normalised);
    for (const window of windows(tokensOf(normalised))) this.#windows.add(window);
  }

  /** `identical`; `near_identical` (half of its windows or more); `overlapping` (at least one); or undefined. */
  find(text) {
    const normalised = normalise(text);
    if (normalised.length >= SHORTEST_EQUAL && this.#texts.has(normalised)) return 'identical';
    let [shared, all] = [0, 0];
    for (const window of windows(tokensOf(normalised))) {
      all += 1;
      if (this.#windows.has(window)) shared += 1;
    }
    if (shared === 0) return undefined;
    return shared * 2 >= all ? 'near_identical' : 'overlapping';
  }
}

/**
 * Records without those that overlap, in whatever language: the others would tell the same. Counts are records by their
 * worst kind.
 */
export function dropLeaks(records, leakage, sides) {
  const counts = { identical: 0, near_identical: 0, overlapping: 0 };
  const examples = [];
  const kept = records.filter((record) => {
    const found = worstLeak(
      sides.flatMap((side) => Object.entries(record[side])),
      leakage,
    );
    if (!found) return true;
    counts[found.kind] += 1;
    if (examples.length < 3) examples.push({ id: record.id, ...found });
    return false;
  });
  return { kept, counts, examples };
}

function worstLeak(texts, leakage) {
  const found = texts.flatMap(([language, text]) => {
    const kind = leakage.find(text);
    return kind ? [{ kind, language, text: text.slice(0, 160) }] : [];
  });
  return KINDS.map((kind) => found.find((leak) => leak.kind === kind)).find(Boolean);
}
