import { existsSync } from 'node:fs';
import { XlembedError } from '../errors.js';
import { readJson } from './json_file.js';
import { withFile } from './ranged_file.js';

/** LASER-2's vocabulary: SentencePiece piece -> id of its embedding. */
export type Dictionary = ReadonlyMap<string, number>;

/** fairseq's Dictionary begins with these. */
const SPECIAL_PIECES = new Map([
  ['<s>', 0],
  ['<pad>', 1],
  ['</s>', 2],
  ['<unk>', 3],
]);

const MAX_CVOCAB_BYTES = 64 * 1024 * 1024;

/** A JSON object {piece: id}. Throws as parseDictionary does, and FILE_NOT_FOUND. */
export function readDictionaryJson(path: string, embeddings: number): Dictionary {
  const json = readJson(path);
  const isObject = typeof json === 'object' && json !== null && !Array.isArray(json);
  return parseDictionary(isObject ? new Map(Object.entries(json)) : json, path, embeddings);
}

/** Checks a dictionary as a file has it. `embeddings` is the number of ids there are. Throws MODEL_INVALID. */
export function parseDictionary(given: unknown, path: string, embeddings: number): Dictionary {
  if (!(given instanceof Map)) throw invalid(path, `a dictionary, received ${typeof given}`);
  for (const [piece, id] of given as Map<unknown, unknown>) {
    const known = Number.isSafeInteger(id) && (id as number) >= 0 && (id as number) < embeddings;
    if (typeof piece === 'string' && known) continue;
    const shown = `${JSON.stringify(show(piece))}: ${show(id)}`;
    throw invalid(path, `pieces with ids below num_embeddings ${embeddings}, received ${shown}`);
  }
  for (const [piece, id] of SPECIAL_PIECES) {
    const received = given.get(piece) as unknown;
    if (received !== id)
      throw invalid(path, `the id ${id} for ${piece}, received ${show(received ?? 'none')}`);
  }
  return given as Dictionary;
}

/** What a pickle has in place of a piece or an id may be a list without end. */
function show(value: unknown): string {
  return typeof value === 'object' ? 'an object' : String(value).slice(0, 40);
}

/**
 * Reads fairseq's text form: a line "piece count" for each id from 4 on. undefined when there is no such file. Throws
 * MODEL_INVALID.
 */
export function readCvocab(path: string): Dictionary | undefined {
  if (!existsSync(path)) return undefined;
  const lines = readText(path).split('\n');
  if (lines.at(-1) === '') lines.pop();
  const dictionary = new Map(SPECIAL_PIECES);
  for (const [n, line] of lines.entries()) {
    const [, piece] = /^(.+) \d+\r?$/su.exec(line) ?? [];
    if (piece === undefined) throw invalid(path, `"piece count" in line ${n + 1}`);
    if (dictionary.has(piece)) throw invalid(path, `each piece once, received another in line ${n + 1}`);
    dictionary.set(piece, SPECIAL_PIECES.size + n);
  }
  return dictionary;
}

/** Pieces that one of the two lacks or gives another id. */
export function countDifferences(one: Dictionary, other: Dictionary): number {
  const pieces = new Set([...one.keys(), ...other.keys()]);
  return [...pieces].filter((piece) => one.get(piece) !== other.get(piece)).length;
}

function readText(path: string): string {
  return withFile(path, (file) => {
    if (file.size > MAX_CVOCAB_BYTES) throw invalid(path, `at most ${MAX_CVOCAB_BYTES} bytes`);
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(file.read(0, file.size));
    } catch (cause) {
      if (cause instanceof TypeError) throw invalid(path, 'UTF-8');
      throw cause;
    }
  });
}

function invalid(path: string, expected: string): XlembedError {
  return new XlembedError('MODEL_INVALID', `${path}: expected ${expected}`, 'fetch the model again');
}
