import { basename } from 'node:path';
import { z } from 'zod';
import { checkOptions, malformedSchema } from '../checked_options.js';
import { invalidArgument, XlembedError } from '../errors.js';
import { readLines } from './lines.js';
import { type MalformedPolicy, notUtf8, placeOf } from './malformed.js';
import { parseRecord } from './parse_record.js';
import type { ParallelRecord } from './records.js';

export interface RecordOptions {
  /** A line without a usable record: an error, or skipped and counted. Default 'fail'. */
  onMalformed?: MalformedPolicy | undefined;
}

const schema = z.strictObject({ onMalformed: malformedSchema.optional() });

export interface RecordCounts {
  records: number;
  /** Malformed lines left out. */
  skipped: number;
  /** Message of the first of those. */
  firstSkipped?: string;
  /** Names of fields that were there but mean nothing here. */
  ignoredFields: string[];
}

/**
 * All records of one or more JSONL files (plain, .gz, .zst), in order. A line is parallel,
 * `{id, query: {language: text}, positive: {language: text}, negatives?: {language: [text]}}`, or flat,
 * `{query, positive, negatives?: [text], query_lang?, positive_lang?, id?}`, either with `positive_id`, and
 * with a teacher's `positive_score` and `negative_scores`; the default id is file name and line number. Blank lines are passed over. Throws FILE_NOT_FOUND, FILE_READ_FAILED, MALFORMED_LINE (also for a repeated
 * id, naming both lines) and EMPTY_DATASET.
 */
export async function readRecords(
  paths: string | readonly string[],
  options: RecordOptions = {},
): Promise<{ records: ParallelRecord[]; counts: RecordCounts }> {
  const files = typeof paths === 'string' ? [paths] : paths;
  if (!Array.isArray(files) || files.some((file) => typeof file !== 'string'))
    throw invalidArgument('paths', 'a file, or an array of files', files);
  checkOptions(schema, options);
  const { onMalformed = 'fail' } = options;
  const records: ParallelRecord[] = [];
  const places = new Map<string, string>();
  const ignored = new Set<string>();
  const skipped: { count: number; first?: string } = { count: 0 };
  const add = (line: string, number: number, path: string) => {
    const place = placeOf(path, number);
    const record = parseRecord(line, place, `${basename(path)}:${number}`, ignored);
    const earlier = places.get(record.id);
    if (earlier !== undefined) throw repeatedId(record.id, earlier, place);
    places.set(record.id, place);
    records.push(record);
  };
  for (const path of files) {
    for await (const { line, number, replaced } of readLines(path, { invalidUtf8: 'replace' })) {
      if (line.trim() === '') continue;
      try {
        if (replaced) throw notUtf8(placeOf(path, number), 'the line', line);
        add(line, number, path);
      } catch (error) {
        if (onMalformed === 'fail' || !(error instanceof XlembedError)) throw error;
        skipped.count += 1;
        skipped.first ??= error.message;
      }
    }
  }
  if (records.length === 0) throw emptyDataset(files, skipped);
  const counts: RecordCounts = {
    records: records.length,
    skipped: skipped.count,
    ignoredFields: [...ignored],
  };
  if (skipped.first !== undefined) counts.firstSkipped = skipped.first;
  return { records, counts };
}

function repeatedId(id: string, earlier: string, place: string): XlembedError {
  return new XlembedError(
    'MALFORMED_LINE',
    `expected every id once, received ${JSON.stringify(id)} in ${earlier} and again in ${place}`,
    'give each record an id of its own, or none: file name and line number then serve',
  );
}

function emptyDataset(files: readonly string[], skipped: { count: number; first?: string }): XlembedError {
  const because =
    skipped.first === undefined ? '' : ` (${skipped.count} malformed lines skipped; ${skipped.first})`;
  return new XlembedError(
    'EMPTY_DATASET',
    `no record in ${files.join(', ')}${because}`,
    'one JSON object a line',
  );
}
