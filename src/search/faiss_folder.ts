import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { readLines } from '../datasets/lines.js';
import { XlembedError } from '../errors.js';
import { fileError } from '../files/file_error.js';
import { type FolderKind, restoreFolder, writeFolderBeside } from '../files/write_folder.js';

/**
 * A folder with `index.faiss`, in FAISS's own format, and `ids.jsonl`, whose lines are each a JSON string or
 * `{"id": ..., "text": ..., "label": ...}`: the id of the vector with this label, by default the number of the line
 * counted from 0. So the `ids.jsonl` of an embeddings folder fits an index of its rows.
 */
export interface LabelLine {
  label: number;
  id: string;
  text: string | undefined;
}

const indexFile = 'index.faiss';
const idsFile = 'ids.jsonl';
const linesAtOnce = 4096;

export const INDEX_FOLDER: FolderKind = {
  what: 'an index',
  isOurs: (name) => [indexFile, idsFile, 'job.json'].includes(name),
};

/** The index file at `path` or in the folder `path`, and what names its labels. Throws FILE_NOT_FOUND. */
export async function findFaissFile(path: string): Promise<{ file: string; ids: string | undefined }> {
  await restoreFolder(path);
  if (!(await statOf(path)).isDirectory()) return { file: path, ids: undefined };
  const file = join(path, indexFile);
  await statOf(file);
  return { file, ids: join(path, idsFile) };
}

/** Whether a folder holds a FAISS index. */
export async function isFaissFolder(folder: string): Promise<boolean> {
  await restoreFolder(folder);
  return stat(join(folder, indexFile)).then(
    (found) => found.isFile(),
    () => false,
  );
}

/** Throws FILE_NOT_FOUND, FILE_READ_FAILED and MALFORMED_LINE with its number. */
export async function readLabelLines(path: string): Promise<LabelLine[]> {
  const lines: LabelLine[] = [];
  for await (const { line, number } of readLines(path)) lines.push(parseLine(path, line, number));
  return lines;
}

/** Writes such a folder, complete or not at all; `writeIndex` fills the index file. Throws FILE_EXISTS. */
export async function writeFaissFolder(
  folder: string,
  overwrite: boolean,
  lines: Iterable<LabelLine>,
  writeIndex: (path: string) => Promise<void>,
): Promise<void> {
  await writeFolderBeside(folder, overwrite ? INDEX_FOLDER : undefined, async (temporary) => {
    await writeIndex(join(temporary, indexFile));
    const ids = await open(join(temporary, idsFile), 'wx');
    try {
      for (const texts of pieces(lines)) await ids.appendFile(texts.join(''));
    } finally {
      await ids.close();
    }
  });
}

/** Line `number` of ids.jsonl, counted from 0, with its end. */
export function idLine(number: number, label: number, id: string, text: string | undefined): string {
  const isPlain = label === number && text === undefined;
  const named = { id, ...(text === undefined ? {} : { text }), ...(label === number ? {} : { label }) };
  return `${JSON.stringify(isPlain ? id : named)}\n`;
}

function* pieces(lines: Iterable<LabelLine>): Generator<string[]> {
  let texts: string[] = [];
  let number = 0;
  for (const { label, id, text } of lines) {
    texts.push(idLine(number, label, id, text));
    number += 1;
    if (texts.length < linesAtOnce) continue;
    yield texts;
    texts = [];
  }
  yield texts;
}

function parseLine(path: string, line: string, number: number): LabelLine {
  const value = parsed(line);
  if (typeof value === 'string') return { label: number - 1, id: value, text: undefined };
  const { id, text, label = number - 1 } = (value ?? {}) as { id?: unknown; text?: unknown; label?: unknown };
  if (typeof id === 'string' && Number.isSafeInteger(label) && (label as number) >= 0) {
    return { label: label as number, id, text: typeof text === 'string' ? text : undefined };
  }
  throw new XlembedError(
    'MALFORMED_LINE',
    `expected a JSON string or {"id": ..., "label": ...} in ${path} line ${number}, received ${line.slice(0, 80)}`,
  );
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

async function statOf(path: string) {
  try {
    return await stat(path);
  } catch (cause) {
    throw fileError(path, cause);
  }
}
