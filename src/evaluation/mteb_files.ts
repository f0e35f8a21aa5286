import { readFile } from 'node:fs/promises';
import { malformed } from '../datasets/malformed.js';
import { XlembedError } from '../errors.js';
import { fileError } from '../files/file_error.js';
import { readJsonLines, textOf } from './tasks/data_files.js';
import type { JudgementTable } from './trec_files.js';

/**
 * Qrels as MTEB's data sets have them: JSON lines with `query-id`, `corpus-id` and a whole `score`. Plain or .gz. Throws
 * MALFORMED_LINE, FILE_NOT_FOUND, FILE_READ_FAILED.
 */
export async function readMtebQrels(path: string): Promise<JudgementTable> {
  const table: JudgementTable = new Map();
  for await (const line of readJsonLines(path)) {
    const [query, document] = [textOf(line, 'query-id'), textOf(line, 'corpus-id')];
    const { score } = line.value;
    if (!Number.isSafeInteger(score)) throw malformed(line.place, 'score', 'a whole number', score);
    const documents = table.get(query) ?? new Map<string, number>();
    if (documents.has(document))
      throw malformed(line.place, 'corpus-id', 'each document once per query', document);
    table.set(query, documents.set(document, score as number));
  }
  return table;
}

/**
 * A run as mteb stores predictions: `{<subset>: {<split>: {<query>: {<document>: score}}}}`. Throws MALFORMED_FILE where
 * subset or split is missing or a score is no number, FILE_NOT_FOUND, FILE_READ_FAILED.
 */
export async function readMtebRun(path: string, subset = 'default', split = 'test'): Promise<JudgementTable> {
  const text = await readFile(path, 'utf8').catch((cause) => {
    throw fileError(path, cause);
  });
  const queries = objectAt(objectAt(parsed(text), subset, path), split, path);
  return new Map(
    Object.keys(queries).map((query) => {
      const scores = Object.entries(objectAt(queries, query, path));
      const bad = scores.find(([, score]) => typeof score !== 'number');
      if (bad) throw malformedRun(path, `a number for document ${bad[0]} of query ${query}`);
      return [query, new Map(scores as [string, number][])];
    }),
  );
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function objectAt(value: unknown, key: string, path: string): Record<string, unknown> {
  const inner =
    typeof value === 'object' &&
    value !== null &&
    Object.hasOwn(value, key) &&
    (value as Record<string, unknown>)[key];
  if (typeof inner === 'object' && inner !== null) return inner as Record<string, unknown>;
  throw malformedRun(path, `an object ${JSON.stringify(key)}`);
}

function malformedRun(path: string, expected: string): XlembedError {
  return new XlembedError(
    'MALFORMED_FILE',
    `expected ${expected} in ${path}`,
    "is it mteb's <Task>_predictions.json?",
  );
}
