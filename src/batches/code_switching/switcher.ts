import { isHeldOut } from '../held_out.js';
import { RandomStream } from '../philox.js';
import { hashText } from '../shared_texts.js';
import type { Lexicon } from './lexicon.js';
import { inCaseOf, wordsOf, wouldRunTogether } from './words.js';

export interface SideOptions {
  /** Of a word being replaced where the lexicon has it, 0..1. */
  probability: number;
  /** Languages to switch to; default: those of all lexicons. */
  languages?: readonly string[] | undefined;
}

export interface CodeSwitchingOptions {
  /**
   * `multilingual`: every word draws its target language; `bilingual`: every text draws one for all its words (with
   * one language a side, the bilingual mode of arXiv 2305.05295).
   */
  mode: 'bilingual' | 'multilingual';
  query: SideOptions;
  passage: SideOptions;
}

export type Side = 'query' | 'passage';

/** A text of a batch, before its prompt. */
export interface SideText {
  text: string;
  language: string;
}

export interface SwitchCounts {
  /** Words of texts that some lexicon serves. */
  words: number;
  switched: number;
}

const HASH_BASIS = { query: 0x51ed270b, passage: 0x2545f491 };

/**
 * Code switching after Litschko, Artemova and Plank, "Boosting zero-shot cross-lingual retrieval by training on
 * artificially code-switched data" (arXiv 2305.05295): a word becomes, with a probability, its translation when its
 * lower-cased form is in a bilingual lexicon; else it stays. What a text becomes is a function of seed, batch, side
 * and text alone.
 */
export class CodeSwitcher {
  readonly #lexicons: Record<Side, Map<string, Lexicon[]>>;
  readonly #options: CodeSwitchingOptions;
  readonly #seed: number;
  readonly #words = new WordCache();

  /** Lexicons into held-out languages are not used. */
  constructor(
    lexicons: readonly Lexicon[],
    options: CodeSwitchingOptions,
    seed: number,
    holdOut: readonly string[] = [],
  ) {
    const usable = lexicons.filter(({ target }) => !isHeldOut(target, holdOut));
    this.#lexicons = {
      query: bySource(usable, options.query.languages),
      passage: bySource(usable, options.passage.languages),
    };
    this.#options = options;
    this.#seed = seed;
  }

  /** Texts of one side of batch n, switched; `counts` grows by what was done. */
  switchTexts(n: number, side: Side, texts: readonly SideText[], counts: SwitchCounts): string[] {
    if (this.#options[side].probability === 0) return texts.map(({ text }) => text);
    return texts.map(({ text, language }) => {
      const lexicons = this.#lexicons[side].get(language);
      if (!lexicons) return text;
      const stream = 1 + hashText(text, HASH_BASIS[side]);
      return this.#switch(text, side, lexicons, new RandomStream(this.#seed, n, stream), counts);
    });
  }

  #switch(
    text: string,
    side: Side,
    lexicons: readonly Lexicon[],
    random: RandomStream,
    counts: SwitchCounts,
  ): string {
    const limit = this.#options[side].probability * 2 ** 32;
    const bilingual =
      this.#options.mode === 'bilingual' ? lexicons[random.below(lexicons.length)] : undefined;
    const bounds = this.#words.of(text, lexicons[0]!.source);
    const result = new Sentence(text);
    counts.words += bounds.length / 2;
    for (let i = 0; i < bounds.length; i += 2) {
      if (random.nextUint32() >= limit) continue;
      const lexicon = bilingual ?? lexicons[random.below(lexicons.length)]!;
      const word = text.slice(bounds[i], bounds[i + 1]);
      const translations = lexicon.translations(word);
      if (translations.length === 0) continue;
      const translation = translations[random.below(translations.length)]!;
      result.replace(bounds[i]!, bounds[i + 1]!, inCaseOf(word, translation, lexicon.target));
      counts.switched += 1;
    }
    return result.end();
  }
}

/** Numbers held at most, 4 bytes each; beyond it the cache starts anew. */
const MOST_BOUNDS = 2 ** 24;

/** Finding the words costs most of the time, and training meets every text many times. */
class WordCache {
  readonly #held = new Map<string, Int32Array>();
  #bounds = 0;

  of(text: string, language: string): Int32Array {
    const key = `${language}\n${text}`;
    const known = this.#held.get(key);
    if (known) return known;
    const bounds = wordsOf(text, language);
    this.#bounds += bounds.length;
    if (this.#bounds > MOST_BOUNDS) {
      this.#held.clear();
      this.#bounds = bounds.length;
    }
    this.#held.set(key, bounds);
    return bounds;
  }
}

function bySource(
  lexicons: readonly Lexicon[],
  languages: readonly string[] | undefined,
): Map<string, Lexicon[]> {
  const wanted = lexicons.filter(({ target }) => languages?.includes(target) ?? true);
  const sorted = [...wanted].sort((a, b) => (a.target < b.target ? -1 : a.target > b.target ? 1 : 0));
  const found = new Map<string, Lexicon[]>();
  for (const lexicon of sorted) {
    if (lexicon.source === lexicon.target) continue;
    found.set(lexicon.source, [...(found.get(lexicon.source) ?? []), lexicon]);
  }
  return found;
}

/** A text with some words replaced; a space parts what would run together, as a word beside a Chinese one may. */
class Sentence {
  #written = '';
  #next = 0;
  /** Ends with a replacement. */
  #replaced = false;

  constructor(private readonly text: string) {}

  replace(start: number, end: number, word: string): void {
    this.#append(this.text.slice(this.#next, start), false);
    this.#append(word, true);
    this.#next = end;
  }

  end(): string {
    this.#append(this.text.slice(this.#next), false);
    return this.#written;
  }

  #append(piece: string, replacement: boolean): void {
    if (piece === '') return;
    const touches = replacement || this.#replaced;
    this.#written += touches && wouldRunTogether(this.#written, piece) ? ` ${piece}` : piece;
    this.#replaced = replacement;
  }
}
