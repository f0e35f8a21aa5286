import { readFileSync } from 'node:fs';
import { sequenceAt } from '#xlembed/tokenizers/packed.js';
import type { TokenizedTexts } from '#xlembed/tokenizers/tokenizer_pool.js';

/** Made by test/reference/make_tokenizer_goldens.py. */
export interface Goldens {
  texts: string[];
  lengths: number[];
  pipelines: Record<
    string,
    {
      whole: number[][];
      /** length -> row -> ids, for the rows that the length cuts or just fits. */
      cut: Record<string, Record<string, number[]>>;
      vocabulary_size: number;
    }
  >;
}

export const folder = 'test/reference/tokenizers';
export const goldens = JSON.parse(readFileSync(`${folder}/goldens.json`, 'utf8')) as Goldens;

export function rowsOf(tokens: TokenizedTexts): number[][] {
  const rows = tokens.cumulativeSeqLengths.length - 1;
  return Array.from({ length: rows }, (_, row) => Array.from(sequenceAt(tokens, row)));
}
