import { existsSync } from 'node:fs';
import { copyFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { loadTokenizer } from '../tokenizers/load_tokenizer.js';
import { parseFields, readJson, readJsonObject, readOptionalJson } from './json_file.js';
import { unsupported } from './sentence_transformers.js';
import { type SpecialTokens, specialTokens } from './special_tokens.js';

// transformers writes 1e30 for "no limit".
const NO_LIMIT = 1e9;

const MAX_LENGTH = z.object({
  model_max_length: z.number().positive().nullish(),
  truncation_side: z.string().nullish(),
});

/** Tokens per input by tokenizer_config.json; undefined when it does not say. Throws MODEL_INVALID, MODEL_UNSUPPORTED. */
export function readModelMaxLength(folder: string): number | undefined {
  const path = join(folder, 'tokenizer_config.json');
  const { model_max_length: length, truncation_side: side } = parseFields(
    MAX_LENGTH,
    readOptionalJson(path) ?? {},
    path,
  );
  if ((side ?? 'right') !== 'right') throw unsupported(path, 'truncation_side', side, ['right']);
  return length && length < NO_LIMIT ? Math.floor(length) : undefined;
}

/** Takes tokenizer.json as it is; the classes named after models rebuild parts of it. */
const GENERIC_CLASS = 'PreTrainedTokenizerFast';

/** Beside a tokenizer: its settings and added tokens. */
const SETTINGS = ['tokenizer_config.json', 'special_tokens_map.json', 'added_tokens.json'];

/** The files that decide what tokens a text has: the tokenizer's own, and its settings where they lie beside. */
export function tokenizerFilesOf(tokenizerPath: string): string[] {
  const beside = SETTINGS.map((name) => join(dirname(tokenizerPath), name));
  return [tokenizerPath, ...beside.filter((path) => existsSync(path))];
}

/** What transformers keeps beside tokenizer.json. */
const COMPANIONS = [
  ...SETTINGS,
  'vocab.txt',
  'vocab.json',
  'merges.txt',
  'sentencepiece.bpe.model',
  'spiece.model',
];

/**
 * Puts the tokenizer's files into `folder`: tokenizer.json, made of the vocabulary where there is none, and what lies
 * beside `tokenizerPath`, or, where that stands alone, the two small files without which transformers' AutoTokenizer does not know the special tokens.
 */
export async function copyTokenizerFiles(
  tokenizerPath: string,
  folder: string,
  maxTokens: number,
): Promise<void> {
  const source = dirname(tokenizerPath);
  const target = join(folder, 'tokenizer.json');
  await writeFile(target, (await loadTokenizer(tokenizerPath)).text);
  if (!existsSync(join(source, 'tokenizer_config.json'))) {
    return writeCompanions(specialTokens(readJson(target, 'TOKENIZER_INVALID')), folder, maxTokens);
  }
  for (const name of COMPANIONS) {
    if (existsSync(join(source, name))) await copyFile(join(source, name), join(folder, name));
  }
  await nameKnownClass(join(folder, 'tokenizer_config.json'));
}

/** transformers 5 has a new name for the class that takes tokenizer.json as it is; all versions know the old one. */
async function nameKnownClass(path: string): Promise<void> {
  const config = readJsonObject(path);
  if (config.tokenizer_class !== 'TokenizersBackend') return;
  await writeFile(path, `${JSON.stringify({ ...config, tokenizer_class: GENERIC_CLASS }, null, 2)}\n`);
}

async function writeCompanions(tokens: SpecialTokens, folder: string, maxTokens: number): Promise<void> {
  const config = {
    tokenizer_class: GENERIC_CLASS,
    model_max_length: maxTokens,
    ...tokens,
  };
  await writeFile(join(folder, 'tokenizer_config.json'), `${JSON.stringify(config, null, 2)}\n`);
  await writeFile(join(folder, 'special_tokens_map.json'), `${JSON.stringify(tokens, null, 2)}\n`);
}
