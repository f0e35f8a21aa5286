import { XlembedError } from '../errors.js';

/** What to do with a line that holds no usable item. */
export type MalformedPolicy = 'fail' | 'skip';

/** A place in a file, as errors name it. */
export function placeOf(path: string, line: number): string {
  return `${path} line ${line}`;
}

/** MALFORMED_LINE in one spelling: "expected X for NAME in FILE line N, received VALUE of TYPE". */
export function malformed(place: string, name: string, expected: string, received: unknown): XlembedError {
  return new XlembedError(
    'MALFORMED_LINE',
    `expected ${expected} for ${name} in ${place}, received ${shown(received)}`,
    'mend the line, or have such lines skipped and counted: onMalformed "skip" (--skip-malformed; of encode --malformed skip)',
  );
}

function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  const type = value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value;
  // Parquet's 64-bit integers, which JSON does not know.
  const text = JSON.stringify(value, (_, inner) => (typeof inner === 'bigint' ? String(inner) : inner));
  return `${text.length > 80 ? `${text.slice(0, 79)}…` : text} of type ${type}`;
}

/** Parses one line that must hold a JSON object. */
export function parseObject(line: string, place: string): Record<string, unknown> {
  const value = parseJson(line, place);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw malformed(place, 'the line', 'a JSON object', value);
  }
  return value as Record<string, unknown>;
}

function parseJson(line: string, place: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    throw malformed(place, 'the line', 'a JSON object', line);
  }
}

/** An id given as text or integer, as text; undefined when none is given. */
export function parseId(value: unknown, place: string, name = 'id'): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (Number.isSafeInteger(value) || typeof value === 'bigint') return String(value);
  if (typeof value === 'string' && value !== '') return value;
  throw malformed(place, name, 'a non-empty text or an integer', value);
}
