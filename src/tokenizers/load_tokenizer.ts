import { readFile, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { XlembedError } from '../errors.js';
import { fileError } from '../files/file_error.js';
import { addTokensBeside } from './added_tokens.js';
import { checkParts } from './check_parts.js';
import { CharacterMap } from './laser/character_map.js';
import { type LaserIdTable, laserIdTable, laserTokenizerJson } from './laser/laser_tokenizer.js';
import { parseSentencePieceModel, sentencePieceTokenizer } from './sentence_piece.js';
import { isBertTokenizer } from './tokenizer_class.js';
import {
  describeTokenizer,
  invalidTokenizer,
  parseTokenizerJson,
  type StageJson,
  type TokenizerInfo,
  type TokenizerJson,
} from './tokenizer_json.js';
import { configureBert, type WordPieceConfig, wordPieceTokenizer } from './word_piece.js';

export interface LoadedTokenizer {
  /** The file that was read. */
  path: string;
  json: TokenizerJson;
  /** `json` as the tokenizers library takes it. */
  text: string;
  info: TokenizerInfo;
  /** LASER-2: what its texts and ids need beyond the library. */
  laser: LaserIdTable | null;
}

/** What is read of tokenizer_config.json. */
type TokenizerConfig = WordPieceConfig & { tokenizer_class?: string | null; truncation_side?: string | null };

/** In the order in which a folder is searched: the first holds everything, the others need a known pipeline. */
const fileNames = ['tokenizer.json', 'sentencepiece.bpe.model', 'vocab.txt'];

/**
 * Reads a tokenizer: a folder, a tokenizer.json, a sentencepiece.bpe.model (XLM-R's pipeline) or a vocab.txt (BERT's
 * pipeline). As in transformers, tokenizer_config.json decides BERT's normaliser where that file or config.json makes it
 * BERT's tokenizer, and tokens that only tokenizer_config.json, special_tokens_map.json or added_tokens.json name are added;
 * all of these lie beside the tokenizer. With `lowerCase` the normaliser
 * lower-cases first. Throws FILE_NOT_FOUND, FILE_READ_FAILED, TOKENIZER_INVALID.
 */
export async function loadTokenizer(path: string, lowerCase = false): Promise<LoadedTokenizer> {
  const file = await locate(path);
  const text = file.endsWith('.json') ? await readText(file) : undefined;
  const config = await readBeside(file, 'tokenizer_config.json');
  const json = text === undefined ? await loadVocabulary(file, config) : parseTokenizerJson(text, file);
  refuseLeftTruncation(json, config, file);
  const isBert = isBertTokenizer(config, await readBeside(file, 'config.json'));
  const configured = isBert && configureBert(json, config);
  checkParts(json, file);
  const specialTokensMap = await readBeside(file, 'special_tokens_map.json');
  const addedTokens = await readBeside(file, 'added_tokens.json');
  const added = addTokensBeside(json, { config, specialTokensMap, addedTokens }, file);
  if (added && file.endsWith('.model')) throw addedToSentencePiece(file, json);
  if (lowerCase) json.normalizer = lowerCaseFirst(json.normalizer);
  const changed = lowerCase || configured || added || text === undefined;
  return loaded(file, json, changed ? JSON.stringify(json) : text);
}

/** transformers cuts texts where tokenizer.json says, unless tokenizer_config.json does; here their ends go. */
function refuseLeftTruncation({ truncation }: TokenizerJson, config: TokenizerConfig, file: string): void {
  if (truncation?.direction !== 'Left' || config.truncation_side === 'right') return;
  throw invalidTokenizer(file, 'truncation on the right', 'on the left');
}

/** transformers makes another pipeline of them, in which other pieces are beside an added token. */
function addedToSentencePiece(file: string, { added_tokens: added = [] }: TokenizerJson): XlembedError {
  const name = JSON.stringify(added.at(-1)!.content.slice(0, 80));
  return new XlembedError(
    'TOKENIZER_INVALID',
    `${name} is added to the vocabulary of ${file}, without a tokenizer.json`,
    'make it in Python: AutoTokenizer.from_pretrained(FOLDER, use_fast=True).save_pretrained(FOLDER)',
  );
}

async function loadVocabulary(file: string, config: TokenizerConfig): Promise<TokenizerJson> {
  return file.endsWith('.txt')
    ? wordPieceTokenizer(await readText(file), config, file)
    : sentencePieceTokenizer(await read(file), file);
}

/** As sentence-transformers 6 does for `do_lower_case`: added tokens are found before and keep their case. */
function lowerCaseFirst(normalizer: StageJson | null | undefined): StageJson {
  return { type: 'Sequence', normalizers: [{ type: 'Lowercase' }, ...(normalizer ? [normalizer] : [])] };
}

/**
 * Reads LASER-2's SentencePiece file; `dictionary` gives the ids of its pieces, <s> 0, <pad> 1, </s> 2 and <unk> 3
 * among them. Throws FILE_NOT_FOUND, FILE_READ_FAILED, TOKENIZER_INVALID.
 */
export async function loadLaserTokenizer(
  path: string,
  dictionary: ReadonlyMap<string, number>,
): Promise<LoadedTokenizer> {
  const model = parseSentencePieceModel(await read(path), path);
  if (model.charsmap.length > 0) new CharacterMap(model.charsmap, path);
  const json = laserTokenizerJson(model, path);
  const laser = laserIdTable(json, model, dictionary);
  const vocabularySize = [...dictionary.values()].reduce((size, id) => Math.max(size, id + 1), 0);
  const info = { vocabularySize, padId: dictionary.get('<pad>'), unkId: laser.unkId };
  return {
    path,
    json,
    text: JSON.stringify(json),
    info: { modelType: 'Unigram', hasTokenTypes: false, ...info },
    laser,
  };
}

function loaded(path: string, json: TokenizerJson, text: string): LoadedTokenizer {
  return { path, json, text, info: describeTokenizer(json), laser: null };
}

async function locate(path: string): Promise<string> {
  if (await isFile(path)) {
    if (/\.(json|model|txt)$/.test(path)) return path;
    throw new XlembedError(
      'TOKENIZER_INVALID',
      `expected ${fileNames.join(', ')} or a folder for the tokenizer, received ${path}`,
      'pass the folder of the model',
    );
  }
  for (const name of fileNames) if (await isFile(join(path, name))) return join(path, name);
  throw new XlembedError(
    'FILE_NOT_FOUND',
    `no ${fileNames.join(', ')} in ${path}`,
    'copy the tokenizer files beside the weights, or name the file itself',
  );
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch (cause) {
    if (['ENOENT', 'ENOTDIR'].includes((cause as NodeJS.ErrnoException).code ?? '')) return false;
    throw fileError(path, cause);
  }
}

/** A JSON object beside the tokenizer's file; {} where there is none. */
async function readBeside(file: string, name: string): Promise<Record<string, unknown>> {
  const path = join(dirname(file), name);
  return (await isFile(path)) ? parseObject(await readText(path), path) : {};
}

function parseObject(text: string, path: string): Record<string, unknown> {
  try {
    const object: unknown = JSON.parse(text);
    if (typeof object === 'object' && object !== null) return object as Record<string, unknown>;
  } catch {}
  throw new XlembedError(
    'TOKENIZER_INVALID',
    `expected a JSON object in ${path}`,
    `mend or remove ${basename(path)}`,
  );
}

async function readText(path: string): Promise<string> {
  const bytes = await read(path);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new XlembedError('TOKENIZER_INVALID', `expected UTF-8 in ${path}, received other bytes`, '', {
      cause,
    });
  }
}

async function read(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw fileError(path, cause);
  }
}
