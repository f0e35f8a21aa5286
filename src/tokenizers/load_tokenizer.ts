import { readFile, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { XlembedError } from '../errors.js';
import { fileError } from '../file_error.js';
import { checkParts } from './check_parts.js';
import { CharacterMap } from './laser/character_map.js';
import { type LaserIdTable, laserIdTable, laserTokenizerJson } from './laser/laser_tokenizer.js';
import { parseSentencePieceModel, sentencePieceTokenizer } from './sentence_piece.js';
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
type TokenizerConfig = WordPieceConfig & { truncation_side?: string | null };

/** In the order in which a folder is searched: the first holds everything, the others need a known pipeline. */
const fileNames = ['tokenizer.json', 'sentencepiece.bpe.model', 'vocab.txt'];

/**
 * Reads a tokenizer: a folder, a tokenizer.json, a sentencepiece.bpe.model (XLM-R's pipeline) or a vocab.txt (BERT's
 * pipeline). What tokenizer_config.json beside it says of BERT's normaliser holds, as in transformers. With `lowerCase`
 * the normaliser lower-cases first. Throws FILE_NOT_FOUND, FILE_READ_FAILED, TOKENIZER_INVALID.
 */
export async function loadTokenizer(path: string, lowerCase = false): Promise<LoadedTokenizer> {
  const file = await locate(path);
  const text = file.endsWith('.json') ? await readText(file) : undefined;
  const json = text === undefined ? await loadVocabulary(file) : parseTokenizerJson(text, file);
  const config = text === undefined ? {} : await readConfig(file);
  refuseLeftTruncation(json, config, file);
  const configured = configureBert(json, config);
  checkParts(json, file);
  if (lowerCase) json.normalizer = lowerCaseFirst(json.normalizer);
  return loaded(file, json, lowerCase || configured || text === undefined ? JSON.stringify(json) : text);
}

/** transformers cuts texts where tokenizer.json says, unless tokenizer_config.json does; here their ends go. */
function refuseLeftTruncation({ truncation }: TokenizerJson, config: TokenizerConfig, file: string): void {
  if (truncation?.direction !== 'Left' || config.truncation_side === 'right') return;
  throw invalidTokenizer(file, 'truncation on the right', 'on the left');
}

async function loadVocabulary(file: string): Promise<TokenizerJson> {
  return file.endsWith('.txt') ? loadWordPiece(file) : sentencePieceTokenizer(await read(file), file);
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

async function loadWordPiece(file: string): Promise<TokenizerJson> {
  return wordPieceTokenizer(await readText(file), await readConfig(file), file);
}

/** tokenizer_config.json beside the tokenizer's file. */
async function readConfig(file: string): Promise<TokenizerConfig> {
  const path = join(dirname(file), 'tokenizer_config.json');
  return (await isFile(path)) ? parseConfig(await readText(path), path) : {};
}

function parseConfig(text: string, path: string): TokenizerConfig {
  try {
    const config: unknown = JSON.parse(text);
    if (typeof config === 'object' && config !== null) return config;
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
