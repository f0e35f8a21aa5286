import { readdir } from 'node:fs/promises';
import { readLines } from '../../datasets/lines.js';
import { malformed, parseObject, placeOf, wholeNumberRemedy } from '../../datasets/malformed.js';
import { fileError } from '../../files/file_error.js';
import { taskDataInvalid } from './squad_sentences.js';

/** A language in a file's name: de, zho_Hans, zh-CN. After a hyphen, small letters are another language. */
export const fileLanguage = '[a-z]{2,3}(?:_[A-Za-z]+|-(?:[A-Z][A-Za-z]+|[0-9]{3}))*';

/** Names in a folder, in alphabetical order. Throws FILE_NOT_FOUND, FILE_READ_FAILED. */
export async function listFolder(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch((cause) => {
    throw fileError(folder, cause);
  });
  return names.sort();
}

/** The first of `names` that the folder has. Throws TASK_DATA_INVALID for none. */
export async function findFile(folder: string, names: readonly string[]): Promise<string> {
  const present = await listFolder(folder);
  const name = names.find((candidate) => present.includes(candidate));
  if (name === undefined) throw taskDataInvalid(folder, names.join(' or '), 'no such file');
  return `${folder}/${name}`;
}

/** All lines of a text file, plain or .gz; those that `expected` counts, when given. */
export async function readSentences(path: string, expected?: number): Promise<string[]> {
  const lines: string[] = [];
  for await (const { line } of readLines(path)) lines.push(line.trim());
  if (expected !== undefined && lines.length !== expected) {
    throw taskDataInvalid(path, `${expected} lines`, String(lines.length));
  }
  const empty = lines.indexOf('');
  if (empty >= 0) throw taskDataInvalid(path, 'a sentence in every line', `an empty line ${empty + 1}`);
  return lines;
}

/** One JSON object of a line, with its place for error messages. */
export interface JsonLine {
  value: Record<string, unknown>;
  place: string;
}

export async function* readJsonLines(path: string): AsyncGenerator<JsonLine, void, undefined> {
  for await (const { line, number } of readLines(path)) {
    if (line.trim() === '') continue;
    const place = placeOf(path, number);
    yield { value: parseObject(line, place), place };
  }
}

/** A text, or a number as text: of an id that was rounded no judgement would know. Throws MALFORMED_LINE. */
export function textOf({ value, place }: JsonLine, key: string, whenAbsent?: string): string {
  const text = value[key] ?? whenAbsent;
  const remedy = wholeNumberRemedy(text);
  if (typeof text === 'number' && remedy === undefined) return String(text);
  if (typeof text !== 'string') throw malformed(place, key, 'a text', text, remedy);
  return text;
}

/** Fields of a line between tabs; at least `least`. Throws MALFORMED_LINE. */
export function tabFields(line: string, place: string, least: number): string[] {
  const fields = line.split('\t');
  if (fields.length < least) throw malformed(place, 'the line', `${least} fields with tabs between`, line);
  return fields;
}
