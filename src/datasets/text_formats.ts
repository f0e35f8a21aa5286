import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { invalidArgument } from '../errors.js';
import type { ReadProgress } from './bytes.js';
import { readDelimitedRows } from './delimited.js';
import { readJsonlRows, readPlainRows } from './line_rows.js';
import { readParquetRows } from './parquet_rows.js';

/** One item of an input, parsed only when it is asked for: passing over rows is cheap. */
export interface Row {
  /** Line (row of a table) in its file, counted from 1. */
  number: number;
  /** Its values by column; undefined for a blank line. Throws MALFORMED_LINE. */
  fields(): Record<string, unknown> | undefined;
}

export type TextFormatName = 'txt' | 'jsonl' | 'csv' | 'tsv' | 'parquet';

export interface RowsRequest {
  path: string;
  /** Columns that a table must have; a reader may leave others out, but for the optional ones. */
  columns: readonly string[];
  optionalColumns: readonly string[];
  progress: ReadProgress;
}

type RowReader = (request: RowsRequest) => AsyncIterable<Row>;

/** Every way in which texts are read; the name is also the extension. */
const formats = new Map<TextFormatName, RowReader>([
  ['txt', readPlainRows],
  ['jsonl', readJsonlRows],
  ['csv', (request) => readDelimitedRows(request, { delimiter: ',', quote: '"' })],
  ['tsv', (request) => readDelimitedRows(request, { delimiter: '\t', quote: null })],
  ['parquet', readParquetRows],
]);

export const textFormatNames = [...formats.keys()];

/** What else a file may be called. */
const extensions = new Map<string, TextFormatName>([
  ...textFormatNames.map((name) => [name, name] as const),
  ['ndjson', 'jsonl'],
]);

export function readRows(format: TextFormatName, request: RowsRequest): AsyncIterable<Row> {
  return formats.get(format)!(request);
}

/** By the extension, .gz and .zst left aside. Throws INVALID_ARGUMENT for one that is not known. */
export function formatOf(path: string): TextFormatName {
  const [, extension = '', archive] = /\.([^./]+?)(\.gz|\.zst)?$/.exec(path) ?? [];
  const format = extensions.get(extension);
  // Parquet is read from its end, and compressed inside.
  if (format && !(archive && format === 'parquet')) return format;
  throw invalidArgument(
    'path',
    `a file ending with ${[...extensions.keys()].map((name) => `.${name}`).join(', ')} (.gz, .zst allowed, but for .parquet)`,
    path,
    `rename the file, or name its format: ${textFormatNames.join(', ')}`,
  );
}

/** A BEIR folder's file for a role: queries.jsonl or corpus.jsonl. Throws INVALID_ARGUMENT for another folder. */
export function beirFile(folder: string, role: 'query' | 'passage'): string {
  const name = role === 'query' ? 'queries.jsonl' : 'corpus.jsonl';
  const found = ['', '.gz', '.zst'].map((end) => join(folder, name + end)).find((path) => existsSync(path));
  if (found) return found;
  throw invalidArgument(
    'path',
    `a BEIR folder with ${name}`,
    folder,
    'name the files of another folder, for example: folder/*.jsonl',
  );
}
