import { existsSync, type Stats, statSync } from 'node:fs';
import { basename, isAbsolute } from 'node:path';
import { glob, isDynamicPattern } from 'tinyglobby';
import { z } from 'zod';
import { checkOptions, malformedSchema } from '../checked_options.js';
import { invalidArgument, XlembedError } from '../errors.js';
import { fileError } from '../files/file_error.js';
import { type ReadProgress, STDIN } from './bytes.js';
import { type MalformedPolicy, malformed, parseId, placeOf } from './malformed.js';
import {
  beirFile,
  formatOf,
  type Row,
  readRows,
  type TextFormatName,
  textFormatNames,
} from './text_formats.js';

export interface TextRecord {
  id: string;
  text: string;
}

export interface TextCounts {
  texts: number;
  /** Empty texts among them: they are kept, so that outputs line up with inputs. */
  empty: number;
  /** Malformed lines left out. */
  skipped: number;
  firstSkipped?: string;
}

export interface TextOptions {
  /** Default: by each file's extension. */
  format?: TextFormatName | undefined;
  /**
   * Column of ids, which each line must have; default: `id` or `_id` where there is one, else the line number (behind the
   * file's name if several).
   */
  idColumn?: string | undefined;
  /** Columns whose texts are joined by a space; default `text`, and `title`, `text` in a BEIR folder's corpus. */
  textColumns?: readonly string[] | undefined;
  /** A line without a usable text: an error, or skipped and counted. Default 'fail'. */
  onMalformed?: MalformedPolicy | undefined;
  /** Which file of a BEIR folder: queries.jsonl for `query`, else corpus.jsonl. */
  role?: 'query' | 'passage' | undefined;
}

const schema = z.strictObject({
  format: z.enum(textFormatNames).optional(),
  idColumn: z.string().optional(),
  textColumns: z.array(z.string()).optional(),
  onMalformed: malformedSchema.optional(),
  role: z.enum(['query', 'passage']).optional(),
});

/** One file of the input. */
export interface InputFile {
  path: string;
  format: TextFormatName;
  /** null for the standard input. */
  bytes: number | null;
  /** Last change, in milliseconds of Unix time; null for the standard input. */
  modified_ms: number | null;
  idColumn: string | undefined;
  textColumns: readonly string[];
  /** Stands before line numbers that serve as ids. */
  idPrefix: string;
}

/** A row and the file that it is in. */
export interface InputRow {
  file: InputFile;
  row: Row;
}

/** What a row gives: a text, nothing (a blank line), or the reason why it is skipped. */
export type ReadRow = { record: TextRecord } | { skipped: string } | undefined;

/**
 * Texts to encode, read as they are asked for, from .txt (one text a line), .jsonl, .csv, .tsv (with a header), each
 * with .gz or .zst behind, .parquet files, BEIR folders, globs, and "-", the standard input. Iterating gives the texts;
 * `counts` is up to date with what has been read. Throws while reading FILE_NOT_FOUND, FILE_READ_FAILED,
 * MALFORMED_LINE, MALFORMED_FILE and INVALID_ARGUMENT.
 */
export class TextInput implements AsyncIterable<TextRecord> {
  readonly counts: TextCounts = { texts: 0, empty: 0, skipped: 0 };
  readonly onMalformed: MalformedPolicy;
  #readBefore = 0;
  #progress: ReadProgress = { bytes: 0 };

  private constructor(
    readonly files: readonly InputFile[],
    { onMalformed = 'fail' }: TextOptions,
  ) {
    this.onMalformed = onMalformed;
  }

  /** Throws FILE_NOT_FOUND, and INVALID_ARGUMENT for a glob without a match or a kind of file that is not known. */
  static async open(inputs: string | readonly string[], options: TextOptions = {}): Promise<TextInput> {
    const named = typeof inputs === 'string' ? [inputs] : inputs;
    if (!Array.isArray(named) || named.some((input) => typeof input !== 'string'))
      throw invalidArgument('inputs', 'a file, or an array of files', inputs);
    checkOptions(schema, options);
    const found = (await Promise.all(named.map(expand))).flat();
    if (found.length === 0) throw invalidArgument('inputs', 'at least one file', 'none');
    const names = found.map((path) => basename(path));
    const distinct = new Set(names).size === names.length;
    const prefix = (n: number) => (found.length === 1 ? '' : `${distinct ? names[n] : found[n]}:`);
    return new TextInput(
      found.map((path, n) => describe(path, prefix(n), options)),
      options,
    );
  }

  /** Share of the input's bytes that have been read; undefined for the standard input. */
  get fraction(): number | undefined {
    const total = this.files.reduce((sum, { bytes }) => sum + (bytes ?? Number.NaN), 0);
    return total > 0 ? Math.min(1, (this.#readBefore + this.#progress.bytes) / total) : undefined;
  }

  /** Throws FILE_READ_FAILED where a file is not as it was when the input was opened: who read it has neither. */
  requireUnchanged(): void {
    for (const { path, bytes, modified_ms } of this.files) {
      if (bytes === null) continue;
      const stats = statOf(path);
      // The time of a pipe is that of its last byte.
      if (!stats.isFile() || (stats.size === bytes && Math.floor(stats.mtimeMs) === modified_ms)) continue;
      throw new XlembedError(
        'FILE_READ_FAILED',
        `${path} has changed while it was read`,
        'when nothing writes to it any more, start again with overwrite',
      );
    }
  }

  /** All rows in order, blank and malformed ones too: `read` parses one. */
  async *rows(): AsyncGenerator<InputRow, void, undefined> {
    this.#readBefore = 0;
    for (const file of this.files) {
      this.#progress = { bytes: 0 };
      const columns = [...(file.idColumn === undefined ? [] : [file.idColumn]), ...file.textColumns];
      const optionalColumns = file.idColumn === undefined ? ['id', '_id'] : [];
      const request = { path: file.path, columns, optionalColumns, progress: this.#progress };
      for await (const row of readRows(file.format, request)) yield { file, row };
      this.#readBefore += file.bytes ?? 0;
      this.#progress = { bytes: 0 };
    }
  }

  /** Parses a row. Throws MALFORMED_LINE unless such lines are skipped. */
  read({ file, row }: InputRow): ReadRow {
    try {
      const fields = row.fields();
      return fields && { record: recordOf(fields, file, row.number) };
    } catch (error) {
      if (this.onMalformed === 'fail' || !(error instanceof XlembedError)) throw error;
      return { skipped: error.message };
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<TextRecord, void, undefined> {
    const { counts } = this;
    Object.assign(counts, { texts: 0, empty: 0, skipped: 0 });
    for await (const row of this.rows()) {
      const read = this.read(row);
      if (!read) continue;
      if ('skipped' in read) {
        counts.skipped += 1;
        counts.firstSkipped ??= read.skipped;
        continue;
      }
      counts.texts += 1;
      if (read.record.text === '') counts.empty += 1;
      yield read.record;
    }
  }
}

async function expand(input: string): Promise<string[]> {
  if (input === STDIN || !isDynamicPattern(input) || existsSync(input)) return [input];
  const found = await glob(input, { absolute: isAbsolute(input), expandDirectories: false });
  if (found.length === 0)
    throw new XlembedError('FILE_NOT_FOUND', `no file matches ${input}`, 'check the pattern');
  return found.sort();
}

function describe(given: string, idPrefix: string, options: TextOptions): InputFile {
  const { format, role, idColumn } = options;
  if (given === STDIN) {
    if (!format)
      throw invalidArgument(
        'format',
        'a name, as the standard input has no extension,',
        format,
        'name the format',
      );
    if (format === 'parquet')
      throw invalidArgument(
        'format',
        'one that is read from its beginning, for the standard input,',
        format,
        'Parquet is read from its end: write it to a file',
      );
    const textColumns = options.textColumns ?? ['text'];
    return { path: given, format, bytes: null, modified_ms: null, idColumn, textColumns, idPrefix };
  }
  const folder = statOf(given).isDirectory();
  const path = folder ? beirFile(given, role ?? 'passage') : given;
  const stats = statOf(path);
  return {
    path,
    format: format ?? formatOf(path),
    bytes: stats.size,
    modified_ms: Math.floor(stats.mtimeMs),
    idColumn,
    textColumns: options.textColumns ?? (folder && role !== 'query' ? ['title', 'text'] : ['text']),
    idPrefix,
  };
}

function statOf(path: string): Stats {
  try {
    return statSync(path);
  } catch (cause) {
    throw fileError(path, cause);
  }
}

function recordOf(fields: Record<string, unknown>, file: InputFile, number: number): TextRecord {
  const place = placeOf(file.path, number);
  return { id: idOf(fields, file, place) ?? `${file.idPrefix}${number}`, text: textOf(fields, file, place) };
}

/** undefined where no column was named and there is none of the usual ones. */
function idOf(fields: Record<string, unknown>, { idColumn }: InputFile, place: string): string | undefined {
  if (idColumn === undefined) return parseId(fields.id ?? fields._id, place);
  const id = parseId(fields[idColumn], place, idColumn);
  if (id === undefined) throw malformed(place, idColumn, 'an id', fields[idColumn]);
  return id;
}

/** Of several columns, those that are absent or empty are left out; one at least must be there. */
function textOf(fields: Record<string, unknown>, { textColumns }: InputFile, place: string): string {
  const parts: string[] = [];
  for (const name of textColumns) {
    const value = fields[name];
    if (typeof value === 'string') parts.push(value);
    else if (textColumns.length === 1 || (value !== undefined && value !== null))
      throw malformed(place, name, 'a text', value);
  }
  if (parts.length === 0) throw malformed(place, textColumns.join(' or '), 'a text', undefined);
  return parts.length === 1 ? parts[0]! : parts.filter(Boolean).join(' ');
}
