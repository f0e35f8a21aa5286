import { join } from 'node:path';
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from 'hyparquet';
import { readLines } from '../../datasets/lines.js';
import { XlembedError } from '../../errors.js';

/** Ids of rows, and their texts where they are kept. */
export interface RowNames {
  ids: string[];
  texts: (string | undefined)[];
}

/** The ids of a finished shard, from whichever of its files holds them. Throws MALFORMED_FILE. */
export async function readShardIds(folder: string, files: readonly string[]): Promise<RowNames> {
  const lines = files.find((name) => name.endsWith('.ids.jsonl'));
  if (lines !== undefined) return readIdLines(join(folder, lines));
  const parquet = files.find((name) => name.endsWith('.parquet'));
  if (parquet !== undefined) return readParquetIds(join(folder, parquet));
  throw new XlembedError('MALFORMED_FILE', `no file with ids among ${files.join(', ')} of ${folder}`);
}

/** A file with one JSON value a line: the id, or `{id, text}`. Throws MALFORMED_LINE and FILE_NOT_FOUND. */
export async function readIdLines(path: string): Promise<RowNames> {
  const names: RowNames = { ids: [], texts: [] };
  for await (const { line, number } of readLines(path)) {
    const { id, text } = parseLine(path, line, number);
    names.ids.push(id);
    names.texts.push(text);
  }
  return names;
}

async function readParquetIds(path: string): Promise<RowNames> {
  const file = await asyncBufferFromFile(path);
  const metadata = await parquetMetadataAsync(file);
  const columns = ['id', 'text'].filter((name) => metadata.schema.some((column) => column.name === name));
  const rows = await parquetReadObjects({ file, metadata, columns });
  return {
    ids: rows.map(({ id }) => id as string),
    texts: rows.map(({ text }) => text as string | undefined),
  };
}

function parseLine(path: string, line: string, number: number): { id: string; text: string | undefined } {
  const value = parsed(line);
  if (typeof value === 'string') return { id: value, text: undefined };
  if (typeof value === 'object' && value !== null) {
    const { id, text } = value as { id?: unknown; text?: unknown };
    if (typeof id === 'string') return { id, text: typeof text === 'string' ? text : undefined };
  }
  throw new XlembedError(
    'MALFORMED_LINE',
    `expected a JSON string or {"id": ...} in ${path} line ${number}, received ${line.slice(0, 80)}`,
  );
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
