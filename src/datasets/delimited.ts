import { Readable } from 'node:stream';
import { parse } from 'csv-parse';
import { invalidArgument } from '../errors.js';
import { fileError } from '../files/file_error.js';
import { readBytes } from './bytes.js';
import { decodeStrictly } from './lines.js';
import { malformed, notUtf8, placeOf } from './malformed.js';
import type { Row, RowsRequest } from './text_formats.js';

interface Dialect {
  delimiter: string;
  /** null: quotes are characters like any other. */
  quote: string | null;
}

/** So that a quote that is never closed cannot fill the memory. */
const MAX_RECORD_CHARACTERS = 2 ** 28;

const BYTE_ORDER_MARK = Buffer.from('\uFEFF');

interface Parsed {
  /** Bytes; decoded already where the file begins with UTF-16's byte order mark. */
  record: (Uint8Array | string)[];
  info: { lines: number };
}

/** What a quote that is not closed has swallowed. */
interface BrokenLines {
  first: number;
  last: number;
  why: string | undefined;
}

/**
 * The rows of a table whose first row names the columns, in UTF-8, or in UTF-16 behind its byte order mark. A row with
 * another number of values is malformed, and so is one that is not UTF-8 or whose quote is never closed; the others go
 * on. Throws INVALID_ARGUMENT when a column that is asked for is missing.
 */
export async function* readDelimitedRows(
  { path, columns, progress }: RowsRequest,
  { delimiter, quote }: Dialect,
): AsyncGenerator<Row> {
  const broken: BrokenLines[] = [];
  let lastLine = 0;
  const parser = parse({
    delimiter,
    quote,
    // All of them, whichever the first line has: files are put together of others.
    record_delimiter: ['\r\n', '\n', '\r'],
    bom: true,
    encoding: null,
    info: true,
    relax_column_count: true,
    // As in Python's csv: after "fo"ur the next line is a row again, not the rest of this one.
    relax_quotes: true,
    max_record_size: MAX_RECORD_CHARACTERS,
    skip_empty_lines: true,
    skip_records_with_error: true,
    on_record: (record, { lines }) => {
      lastLine = lines;
      return record;
    },
    on_skip: (error) => {
      const last = Number((error as { lines?: number } | undefined)?.lines);
      broken.push({ first: lastLine + 1, last, why: error?.message });
      lastLine = last;
      return undefined;
    },
  });
  const bytes = Readable.from(withoutByteOrderMark(readBytes(path, progress)), { objectMode: false });
  bytes.on('error', (error) => parser.destroy(error));
  let header: string[] | undefined;
  try {
    for await (const { record, info } of bytes.pipe(parser) as AsyncIterable<Parsed>) {
      // The parser is ahead of this loop: broken rows wait for their place among the others.
      while (broken[0] && broken[0].last < info.lines) yield* brokenRows(path, broken.shift()!);
      if (header) yield new DelimitedRow(path, info.lines, header, record);
      else header = checkedHeader(path, decoded(path, info.lines, record), columns);
    }
    for (const lines of broken) yield* brokenRows(path, lines);
  } catch (cause) {
    throw fileError(path, cause);
  } finally {
    bytes.destroy();
  }
}

class DelimitedRow implements Row {
  constructor(
    private readonly path: string,
    /** The last of its lines, where quoted values hold line ends. */
    readonly number: number,
    private readonly header: readonly string[],
    private readonly record: Parsed['record'],
  ) {}

  fields(): Record<string, unknown> {
    const { path, number, header, record } = this;
    const values = decoded(path, number, record);
    if (values.length !== header.length) {
      throw malformed(placeOf(path, number), 'the row', `${header.length} values`, values);
    }
    return Object.fromEntries(header.map((name, column) => [name, values[column]]));
  }
}

/** Throws MALFORMED_LINE. */
function decoded(path: string, line: number, record: Parsed['record']): string[] {
  return record.map((value) => {
    const text = typeof value === 'string' ? value : decodeStrictly(value);
    if (text === undefined) throw notUtf8(placeOf(path, line), 'the row', lossyText(record));
    return text;
  });
}

function lossyText(record: Parsed['record']): string {
  return record.map((value) => Buffer.from(value as Uint8Array).toString()).join();
}

/** Without UTF-8's: behind it the parser would decode, and replace what is not UTF-8. */
async function* withoutByteOrderMark(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let begun: Uint8Array | undefined = new Uint8Array();
  for await (const chunk of bytes) {
    if (!begun) {
      yield chunk;
      continue;
    }
    begun = Buffer.concat([begun, chunk]);
    if (begun.length < BYTE_ORDER_MARK.length) continue;
    const isMarked = BYTE_ORDER_MARK.equals(begun.subarray(0, BYTE_ORDER_MARK.length));
    yield isMarked ? begun.subarray(BYTE_ORDER_MARK.length) : begun;
    begun = undefined;
  }
  if (begun) yield begun;
}

/** A row for each of the lines, so that all are counted. */
function* brokenRows(path: string, { first, last, why }: BrokenLines): Generator<Row> {
  const fields = () => {
    throw malformed(placeOf(path, first), 'the row', 'a quote that is closed', why);
  };
  for (let number = first; number <= last; ++number) yield { number, fields };
}

function checkedHeader(path: string, header: string[], columns: readonly string[]): string[] {
  const missing = columns.find((name) => !header.includes(name));
  if (missing === undefined) return header;
  const [, separator] = (header.length === 1 && /([;,|\t])/.exec(header[0]!)) || [];
  throw invalidArgument(
    'the column',
    `one of ${header.slice(0, 20).join(', ')} in ${path}`,
    missing,
    separator === undefined
      ? 'name the columns of ids and texts'
      : `values seem to be separated by ${JSON.stringify(separator)}: write a .csv with commas, or a .tsv with tabs`,
  );
}
