import { canonicalLanguage } from '../held_out.js';

const segmenters = new Map<string, Intl.Segmenter>();

/** Word boundaries as Unicode (UAX 29) and the dictionaries of ICU have them, also in Chinese, Japanese and Thai. */
function segmenterOf(language: string): Intl.Segmenter {
  let segmenter = segmenters.get(language);
  if (!segmenter) {
    const [known = 'und'] = Intl.Segmenter.supportedLocalesOf(localeOf(language));
    segmenter = new Intl.Segmenter(known, { granularity: 'word' });
    segmenters.set(language, segmenter);
  }
  return segmenter;
}

/** A tag that Intl takes, whatever a data set calls its language. */
function localeOf(language: string): string {
  const canonical = canonicalLanguage(language);
  try {
    return Intl.getCanonicalLocales(canonical)[0] ?? 'und';
  } catch {
    return 'und';
  }
}

/** Start and end of every word of a text, one behind the other: (2 x words). */
export function wordsOf(text: string, language: string): Int32Array {
  const bounds: number[] = [];
  for (const { segment, index, isWordLike } of segmenterOf(language).segment(text)) {
    if (isWordLike) bounds.push(index, index + segment.length);
  }
  return Int32Array.from(bounds);
}

/** The form that a lexicon is asked for. */
export function lookupForm(word: string, language: string): string {
  return word.normalize('NFC').toLocaleLowerCase(localeOf(language));
}

/** The replacement in the case of the word: all capitals, first letter capital, or as it stands. */
export function inCaseOf(word: string, replacement: string, language: string): string {
  const locale = localeOf(language);
  const [first = ''] = word;
  if (first === first.toLowerCase()) return replacement;
  const capitals = word.length > first.length && word === word.toUpperCase();
  if (capitals) return replacement.toLocaleUpperCase(locale);
  const [initial = ''] = replacement;
  return initial.toLocaleUpperCase(locale) + replacement.slice(initial.length);
}

const spaced = /[\p{L}\p{M}\p{N}]/u;
const unspaced =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u;
const runsOn = (character: string) => spaced.test(character) && !unspaced.test(character);

/** Whether two pieces would run into one word where they touch: both ends are of scripts that part words by spaces. */
export function wouldRunTogether(before: string, after: string): boolean {
  const last = before.slice(-2).match(/.$/su)?.[0] ?? '';
  const [first = ''] = after;
  return runsOn(last) && runsOn(first);
}
