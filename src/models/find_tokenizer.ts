import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { XlembedError } from '../errors.js';
import { tokenizerClass } from '../tokenizers/tokenizer_class.js';
import { parseFields, readJson } from './json_file.js';
import type { HuggingFaceConfig } from './transformer_config.js';

const MAKE_TOKENIZER =
  'make tokenizer.json in Python: AutoTokenizer.from_pretrained(FOLDER, use_fast=True).save_pretrained(FOLDER)';

/** What transformers builds a tokenizer from where there is no tokenizer.json; others cannot be told from a file. */
const VOCABULARY_FILES = new Map([
  ['BertTokenizer', 'vocab.txt'],
  ['DistilBertTokenizer', 'vocab.txt'],
  ['XLMRobertaTokenizer', 'sentencepiece.bpe.model'],
]);

const CLASS = z.looseObject({ tokenizer_class: z.string().nullish() });

/**
 * tokenizer.json in the first folder that has one, else the vocabulary of a tokenizer whose pipeline is known. Throws
 * FILE_NOT_FOUND, MODEL_INVALID.
 */
export function findTokenizer(folders: readonly string[], config: HuggingFaceConfig): string {
  const find = (name: string) => folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
  const json = find('tokenizer.json');
  if (json) return json;
  const configPath = find('tokenizer_config.json');
  const settings = configPath ? parseFields(CLASS, readJson(configPath), configPath) : {};
  const file = VOCABULARY_FILES.get(tokenizerClass(settings, config.raw));
  const path = file && find(file);
  if (!path) throw noTokenizer(join(folders[0]!, 'tokenizer.json'));
  return path;
}

export function noTokenizer(path: string): XlembedError {
  return new XlembedError('FILE_NOT_FOUND', `${path} does not exist`, MAKE_TOKENIZER);
}
