import { readLines } from '../../datasets/lines.js';
import { malformed, placeOf } from '../../datasets/malformed.js';
import { XlembedError } from '../../errors.js';
import { lookupForm, wordsOf } from './words.js';

/** A file of words with their translations, and the languages of both. */
export interface LexiconFile {
  source: string;
  target: string;
  path: string;
}

/** Bilingual lexicon: words of one language with their translations in another. */
export class Lexicon {
  readonly #translations = new Map<string, string[]>();
  /** Entries of several words, left out: texts are switched word by word. */
  phrases = 0;

  constructor(
    readonly source: string,
    readonly target: string,
  ) {}

  get words(): number {
    return this.#translations.size;
  }

  /** Translations of a word, in the order of the file; none for an unknown one. */
  translations(word: string): readonly string[] {
    return this.#translations.get(lookupForm(word, this.source)) ?? [];
  }

  add(source: string, targets: readonly string[]): void {
    const word = lookupForm(source.trim(), this.source);
    const [start, end] = wordsOf(word, this.source);
    if (start !== 0 || end !== word.length) {
      this.phrases += 1;
      return;
    }
    const known = this.#translations.get(word) ?? [];
    const found = targets.map((target) => target.trim()).filter(Boolean);
    this.#translations.set(word, [...new Set([...known, ...found])]);
  }
}

/**
 * Reads lines `word<TAB>translation`, with `|` between several translations; a word may come again. Throws
 * FILE_NOT_FOUND, FILE_READ_FAILED, MALFORMED_LINE, and EMPTY_DATASET for a file without a word.
 */
export async function readLexicon({ source, target, path }: LexiconFile): Promise<Lexicon> {
  const lexicon = new Lexicon(source, target);
  for await (const { line, number } of readLines(path)) {
    if (line.trim() === '') continue;
    const [word, translations, more] = line.split('\t');
    if (!word?.trim() || !translations?.trim() || more !== undefined) {
      throw malformed(placeOf(path, number), 'the line', 'word<TAB>translation|translation', line);
    }
    lexicon.add(word, translations.split('|'));
  }
  if (lexicon.words > 0) return lexicon;
  throw new XlembedError('EMPTY_DATASET', `no word in the lexicon ${path}`, 'lines of word<TAB>translation');
}
