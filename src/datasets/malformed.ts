import { XlembedError } from '../errors.js';

/** What to do with a line that holds no usable item. */
export type MalformedPolicy = 'fail' | 'skip';

/** A place in a file, as errors name it. */
export function placeOf(path: string, line: number): string {
  return `${path} line ${line}`;
}

/** MALFORMED_LINE in one spelling: "expected X for NAME in FILE line N, received VALUE of TYPE". */
export function malformed(
  place: string,
  name: string,
  expected: string,
  received: unknown,
  remedy = 'mend the line',
): XlembedError {
  return new XlembedError(
    'MALFORMED_LINE',
    `expected ${expected} for ${name} in ${place}, received ${shown(received)}`,
    `${remedy}, or have such lines skipped and counted: onMalformed "skip" (--skip-malformed; of encode --malformed skip)`,
  );
}

export function notUtf8(place: string, name: string, received: string): XlembedError {
  return malformed(place, name, 'UTF-8', received, 'convert the file, for example: iconv -f utf-16 -t utf-8');
}

function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  const type = value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value;
  // Parquet's 64-bit integers, which JSON does not know.
  const text = JSON.stringify(value, (_, inner) => (typeof inner === 'bigint' ? String(inner) : inner));
  return `${text.length > 80 ? `${text.slice(0, 79)}…` : text} of type ${type}`;
}

const OF_AN_ARRAY = "write one object a line: of a list of them jq -c '.[]' FILE makes such lines";
const OF_TEXTS = "give the texts names, for example: jq -c '{query: .[0], positive: .[1]}' FILE";
/** First lines of JSON that is no JSON lines. */
const JSON_OVER_LINES = new Map([
  ['[', OF_AN_ARRAY],
  ['{', 'write each object on one line, as jq -c . FILE does'],
]);

/** Parses one line that must hold a JSON object. */
export function parseObject(line: string, place: string): Record<string, unknown> {
  const value = parseJson(line, place);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw malformed(place, 'the line', 'a JSON object', value, remedyOf(value));
  }
  return value as Record<string, unknown>;
}

function remedyOf(value: unknown): string | undefined {
  if (!Array.isArray(value)) return undefined;
  return typeof value[0] === 'string' ? OF_TEXTS : OF_AN_ARRAY;
}

function parseJson(line: string, place: string): unknown {
  try {
    return JSON.parse(line);
  } catch (cause) {
    const remedy = JSON_OVER_LINES.get(line.trim()) ?? `${(cause as Error).message}: mend the line`;
    throw malformed(place, 'the line', 'a JSON object', line, remedy);
  }
}

/** Where a number has more digits than JSON.parse keeps. */
export function wholeNumberRemedy(value: unknown): string | undefined {
  const isRounded = Number.isInteger(value) && !Number.isSafeInteger(value);
  return isRounded ? 'write it as a text: numbers of this size are rounded' : undefined;
}

/** An id given as text or integer, as text; undefined when none is given. */
export function parseId(value: unknown, place: string, name = 'id'): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (Number.isSafeInteger(value) || typeof value === 'bigint') return String(value);
  if (typeof value === 'string' && value !== '') return value;
  throw malformed(place, name, 'a non-empty text or an integer', value, wholeNumberRemedy(value));
}
