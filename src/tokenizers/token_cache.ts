import { sequenceAt } from './packed.js';
import type { TokenizedTexts } from './tokenizer_pool.js';

export interface TokenCacheOptions {
  /** Ids held at most; the texts used least recently go first. Default 2^26 (256 MiB). */
  maxHeldTokens?: number;
}

export interface TokenCacheCounts {
  /** Texts tokenised, and what was done to them. */
  tokenized: number;
  truncated: number;
  replacedSurrogates: number;
  empty: number;
}

/** Remembers the ids of texts: training meets a text again and again, in many batches. */
export class TokenCache {
  readonly counts: TokenCacheCounts = { tokenized: 0, truncated: 0, replacedSurrogates: 0, empty: 0 };
  readonly #tokenizer: { tokenize(texts: readonly string[]): Promise<TokenizedTexts> };
  readonly #maxHeldTokens: number;
  /** In the order of last use. */
  readonly #held = new Map<string, Int32Array>();
  readonly #running = new Map<string, Promise<Int32Array>>();
  #heldTokens = 0;

  constructor(
    tokenizer: { tokenize(texts: readonly string[]): Promise<TokenizedTexts> },
    { maxHeldTokens = 2 ** 26 }: TokenCacheOptions = {},
  ) {
    this.#tokenizer = tokenizer;
    this.#maxHeldTokens = maxHeldTokens;
  }

  /** Ids of each text, special tokens included. The arrays are shared: read them only. Throws as tokenize does. */
  async tokens(texts: readonly string[]): Promise<Int32Array[]> {
    this.#start(texts.filter((text) => !this.#held.has(text) && !this.#running.has(text)));
    return Promise.all(texts.map((text) => this.#use(text) ?? this.#running.get(text)!));
  }

  #use(text: string): Int32Array | undefined {
    const ids = this.#held.get(text);
    if (!ids) return undefined;
    this.#held.delete(text);
    this.#held.set(text, ids);
    return ids;
  }

  #start(missing: readonly string[]): void {
    const texts = [...new Set(missing)];
    if (texts.length === 0) return;
    const result = this.#tokenizer.tokenize(texts);
    for (const [row, text] of texts.entries()) {
      const ids = result.then((packed) => sequenceAt(packed, row).slice());
      ids.then(
        (found) => this.#hold(text, found),
        () => this.#running.delete(text),
      );
      this.#running.set(text, ids);
    }
    result.then(
      (packed) => this.#count(packed, texts.length),
      () => {},
    );
  }

  #hold(text: string, ids: Int32Array): void {
    this.#running.delete(text);
    this.#held.set(text, ids);
    this.#heldTokens += ids.length;
    for (const [oldest, { length }] of this.#held) {
      if (this.#heldTokens <= this.#maxHeldTokens) break;
      this.#held.delete(oldest);
      this.#heldTokens -= length;
    }
  }

  #count({ truncated, replacedSurrogates, empty }: TokenizedTexts, texts: number): void {
    this.counts.tokenized += texts;
    this.counts.truncated += truncated;
    this.counts.replacedSurrogates += replacedSurrogates;
    this.counts.empty += empty;
  }
}
