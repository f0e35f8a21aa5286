import { requirePath } from '../checked_options.js';
import { XlembedError } from '../errors.js';
import { type ReadProgress, readBytes } from './bytes.js';

export interface Line {
  line: string;
  /** Counted from 1. */
  number: number;
  /** True when the line was not UTF-8 and its bad bytes became U+FFFD. */
  replaced: boolean;
}

export interface LineOptions {
  /** A line that is not UTF-8: MALFORMED_LINE with its number, or U+FFFD for the bad bytes. Default 'fail'. */
  invalidUtf8?: 'fail' | 'replace';
  /** Longest line in bytes, so that a file without line ends cannot fill the memory. Default 256 MiB. */
  maxLineBytes?: number;
  /** Kept up to date while the file is read. */
  progress?: ReadProgress;
}

const newline = 0x0a;
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const lenient = new TextDecoder('utf-8', { ignoreBOM: true });

/**
 * The lines of a UTF-8 text file, plain, .gz or .zst, or of the standard input ("-"). Lines end with LF or CRLF; a
 * byte order mark is dropped; an empty line is an item, the end after the last line end is not. Throws FILE_NOT_FOUND,
 * FILE_READ_FAILED (also for a damaged archive) and MALFORMED_LINE.
 */
export async function* readLines(
  path: string,
  options: LineOptions = {},
): AsyncGenerator<Line, void, undefined> {
  requirePath('path', path);
  const { invalidUtf8 = 'fail', maxLineBytes = 2 ** 28, progress } = options;
  let number = 0;
  for await (const block of blocksOfLines(path, maxLineBytes, progress)) {
    for (const { line, replaced } of decodedLines(block)) {
      number += 1;
      if (replaced && invalidUtf8 === 'fail') throw notUtf8(path, number);
      yield { line: number === 1 ? withoutByteOrderMark(line) : line, number, replaced };
    }
  }
}

/** Cuts the byte stream after line ends: every block holds whole lines, its last line end left out. */
async function* blocksOfLines(
  path: string,
  maxLineBytes: number,
  progress: ReadProgress | undefined,
): AsyncGenerator<Buffer> {
  let begun: Uint8Array[] = [];
  let begunBytes = 0;
  for await (const chunk of readBytes(path, progress)) {
    const end = chunk.lastIndexOf(newline);
    if (end >= 0) {
      yield Buffer.concat([...begun, chunk.subarray(0, end)]);
      begun = [];
      begunBytes = 0;
    }
    begun.push(chunk.subarray(end + 1));
    begunBytes += chunk.length - end - 1;
    if (begunBytes > maxLineBytes) throw lineTooLong(path, maxLineBytes);
  }
  if (begunBytes > 0) yield Buffer.concat(begun);
}

/** One decode for the whole block; line by line only when something in it is not UTF-8. */
function* decodedLines(block: Buffer): Generator<{ line: string; replaced: boolean }> {
  const text = decodeStrictly(block);
  if (text !== undefined) {
    for (const line of text.split('\n')) yield { line: withoutCarriageReturn(line), replaced: false };
    return;
  }
  for (let start = 0; start <= block.length; ) {
    const found = block.indexOf(newline, start);
    const bytes = block.subarray(start, found < 0 ? block.length : found);
    const line = decodeStrictly(bytes);
    yield { line: withoutCarriageReturn(line ?? lenient.decode(bytes)), replaced: line === undefined };
    start += bytes.length + 1;
  }
}

/** undefined for bytes that are not UTF-8. */
export function decodeStrictly(bytes: Uint8Array): string | undefined {
  try {
    return strict.decode(bytes);
  } catch {
    return undefined;
  }
}

function withoutCarriageReturn(line: string): string {
  return line.endsWith('\r') ? line.slice(0, -1) : line;
}

function withoutByteOrderMark(line: string): string {
  return line.startsWith('\uFEFF') ? line.slice(1) : line;
}

function notUtf8(path: string, number: number): XlembedError {
  return new XlembedError(
    'MALFORMED_LINE',
    `expected UTF-8 in ${path} line ${number}, received other bytes`,
    'convert the file, for example: iconv -f utf-16 -t utf-8',
  );
}

function lineTooLong(path: string, maxLineBytes: number): XlembedError {
  return new XlembedError(
    'MALFORMED_LINE',
    `expected lines of at most ${maxLineBytes} bytes in ${path}, received a longer one`,
    'is this a text file with one item a line?',
  );
}
