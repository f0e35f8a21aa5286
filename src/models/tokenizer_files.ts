import { existsSync } from 'node:fs';
import { copyFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { loadTokenizer } from '../tokenizers/load_tokenizer.js';
import { isBertTokenizer } from '../tokenizers/tokenizer_class.js';
import type { TokenizerJson } from '../tokenizers/tokenizer_json.js';
import { isBertPipeline } from '../tokenizers/word_piece.js';
import { type JsonObject, parseFields, readJsonObject, readOptionalJson } from './json_file.js';
import { unsupported } from './sentence_transformers.js';
import { specialTokens } from './special_tokens.js';

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

/** That class; it also gives token types unless told not to, which DistilBERT does not take. */
function genericClass({ model_type: modelType }: JsonObject) {
  const names = modelType === 'distilbert' && { model_input_names: ['input_ids', 'attention_mask'] };
  return { tokenizer_class: GENERIC_CLASS, ...names };
}

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
 * Puts the tokenizer's files into `folder`, which holds config.json: tokenizer.json, made of the vocabulary where there is
 * none, and what lies beside `tokenizerPath`, or, where that stands alone, the two small files without which transformers'
 * AutoTokenizer does not know the special tokens.
 */
export async function copyTokenizerFiles(
  tokenizerPath: string,
  folder: string,
  maxTokens: number,
): Promise<void> {
  const source = dirname(tokenizerPath);
  const { text, json } = await loadTokenizer(tokenizerPath);
  await writeFile(join(folder, 'tokenizer.json'), text);
  const model = readJsonObject(join(folder, 'config.json'));
  if (!existsSync(join(source, 'tokenizer_config.json'))) {
    const tokens = specialTokens(json);
    const config = { ...genericClass(model), model_max_length: maxTokens, ...tokens };
    await writeJson(join(folder, 'tokenizer_config.json'), config);
    return writeJson(join(folder, 'special_tokens_map.json'), tokens);
  }
  for (const name of COMPANIONS) {
    if (existsSync(join(source, name))) await copyFile(join(source, name), join(folder, name));
  }
  const path = join(folder, 'tokenizer_config.json');
  const config = readJsonObject(path);
  if (!needsGenericClass(config, model, json)) return;
  await writeJson(path, { ...specialTokens(json), ...config, ...genericClass(model) });
}

/**
 * transformers 5 has a new name for the class that takes tokenizer.json as it is; all versions know the old one. And its
 * BertTokenizer takes the vocabulary alone, of any tokenizer.json: paraphrase-multilingual-MiniLM's, which is XLM-R's.
 */
function needsGenericClass(config: JsonObject, model: JsonObject, json: TokenizerJson): boolean {
  if (config.tokenizer_class === 'TokenizersBackend') return true;
  return isBertTokenizer(config, model) && !isBertPipeline(json);
}

async function writeJson(path: string, value: object): Promise<void> {
  await writeFile(path, `${JSON.stringify(value, null, 2)}\n`);
}
