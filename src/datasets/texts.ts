import { invalidArgument, XlembedError } from '../errors.js';
import { readLines } from './lines.js';
import { type MalformedPolicy, malformed, parseId, parseObject, placeOf } from './malformed.js';

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
  /** A line without a usable text: an error, or skipped and counted. Default 'fail'. */
  onMalformed?: MalformedPolicy;
}

/**
 * Texts to encode, read as they are asked for: `.txt`, one text a line, whose id is its line number, or `.jsonl`
 * with `{id, text}` (also with .gz or .zst behind). `counts` is up to date with what has been read. Throws
 * INVALID_ARGUMENT for another kind of file; while reading FILE_NOT_FOUND, FILE_READ_FAILED, MALFORMED_LINE.
 */
export class TextFile implements AsyncIterable<TextRecord> {
  readonly counts: TextCounts = { texts: 0, empty: 0, skipped: 0 };
  readonly #path: string;
  readonly #parse: (line: string, number: number, path: string) => TextRecord | undefined;
  readonly #onMalformed: MalformedPolicy;

  constructor(path: string, { onMalformed = 'fail' }: TextOptions = {}) {
    const kind = /\.(txt|jsonl)(\.gz|\.zst)?$/.exec(path)?.[1];
    if (!kind) throw invalidArgument('path', 'a .txt or .jsonl file (.gz allowed)', path, 'rename the file');
    this.#path = path;
    this.#parse = kind === 'txt' ? parsePlain : parseJsonl;
    this.#onMalformed = onMalformed;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<TextRecord, void, undefined> {
    Object.assign(this.counts, { texts: 0, empty: 0, skipped: 0 });
    for await (const { line, number, replaced } of readLines(this.#path, { invalidUtf8: 'replace' })) {
      const record = this.#record(line, number, replaced);
      if (!record) continue;
      this.counts.texts += 1;
      if (record.text === '') this.counts.empty += 1;
      yield record;
    }
  }

  #record(line: string, number: number, replaced: boolean): TextRecord | undefined {
    try {
      if (replaced) throw malformed(placeOf(this.#path, number), 'the line', 'UTF-8', line);
      return this.#parse(line, number, this.#path);
    } catch (error) {
      if (this.#onMalformed === 'fail' || !(error instanceof XlembedError)) throw error;
      this.counts.skipped += 1;
      this.counts.firstSkipped ??= error.message;
      return undefined;
    }
  }
}

function parsePlain(line: string, number: number): TextRecord {
  return { id: String(number), text: line };
}

function parseJsonl(line: string, number: number, path: string): TextRecord | undefined {
  if (line.trim() === '') return undefined;
  const place = placeOf(path, number);
  const fields = parseObject(line, place);
  if (typeof fields.text !== 'string') throw malformed(place, 'text', 'a text', fields.text);
  return { id: parseId(fields.id, place) ?? String(number), text: fields.text };
}
