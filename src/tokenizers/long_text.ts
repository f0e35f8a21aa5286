import { type StageJson, stagesOf, type TokenizerJson } from './tokenizer_json.js';

/**
 * Why a text may be cut before it is tokenised. These tokenizers work in stages: added tokens are found, the text is
 * normalised character by character (or grapheme cluster), it is split into words at white space, and every word
 * gives its ids on its own. Cut at a lone separator between a letter, digit or mark and a letter or digit, the front
 * part gives the same ids as in the whole text: no grapheme cluster and no added token spans the separator, and
 * nothing behind it reaches back into the words before it. So when the front part has more ids than are kept, the
 * kept ones are those of the whole text. This holds for the stages listed here; any other tokenizer gets whole texts,
 * as does a text without such a place (Chinese on one line): its time and memory grow with its length, about 0.7 s and
 * 150 MB for a million characters.
 */
const localNormalizers = new Set([
  'BertNormalizer',
  'Lowercase',
  'NFC',
  'NFD',
  'NFKC',
  'NFKD',
  'Nmt',
  'Precompiled',
  'Prepend',
  'Strip',
  'StripAccents',
]);
const splitsAtSpace = new Set(['BertPreTokenizer', 'Metaspace', 'Whitespace', 'WhitespaceSplit']);
const splitsFurther = new Set(['Digits', 'Punctuation', ...splitsAtSpace]);

export function mayBeCut({ normalizer, pre_tokenizer, added_tokens = [] }: TokenizerJson): boolean {
  const splits = stagesOf(pre_tokenizer, 'pretokenizers');
  return (
    stagesOf(normalizer, 'normalizers').every(isLocal) &&
    splits.some(({ type }) => splitsAtSpace.has(type)) &&
    splits.every(({ type, split }) => splitsFurther.has(type) && split !== false) &&
    added_tokens.every(({ content }) => !/\s/.test(content))
  );
}

/** Replace looks beyond one character; runs of white space becoming one separator are the harmless case. */
function isLocal({ type, pattern, content }: StageJson): boolean {
  if (type !== 'Replace') return localNormalizers.has(type);
  const regex = (pattern as { Regex?: string } | undefined)?.Regex;
  return (regex === ' {2,}' && content === '▁') || (regex === '\\s+' && content === ' ');
}

/** Characters that mostly suffice for one id; where they did not, a longer front part is tried. */
export const charactersPerToken = 6;

/** White space that this tokenizer takes for a space, found by trying. */
export function separatorsOf(normalize: (text: string) => string): string {
  return [' ', '\n', '\t', '\u3000']
    .filter((each) => each === ' ' || normalize(`a${each}b`) === 'a b')
    .join('');
}

/** Finds places where a text may be cut. */
export class TextCutter {
  readonly #place: RegExp;

  /**
   * The letters left out join their neighbours' grapheme cluster: U+0D4E the one behind it, the others the one
   * before. Characters beyond U+FFFF are left out for the same reason.
   */
  constructor(separators: string) {
    const before = '[[[\\p{L}\\p{N}\\p{P}]&&[\\u0000-\\uFFFF]]--[\\u0D4E]]';
    const behind = '[[[\\p{L}\\p{N}]&&[\\u0000-\\uFFFF]]--[\\u0E33\\u0EB3\\uFF9E\\uFF9F]]';
    this.#place = new RegExp(`(?<=${before})[${separators}](?=${behind})`, 'gv');
  }

  /** The text up to the first place at `length` or behind it; the whole text when there is none. */
  front(text: string, length: number): string {
    this.#place.lastIndex = Math.min(length, text.length);
    const match = this.#place.exec(text);
    return match ? text.slice(0, match.index) : text;
  }
}
