import { existsSync } from 'node:fs';
import { z } from 'zod';
import { type ErrorCode, XlembedError } from '../errors.js';
import { isNestedTooDeeply, MAX_NESTING } from '../json_depth.js';
import { withFile } from './ranged_file.js';

/** Configuration files have a few KB; the largest tokenizer.json in use has some 40 MB. */
const MAX_JSON_BYTES = 256 * 1024 * 1024;

/** Parses a JSON file. Throws FILE_NOT_FOUND, or `code` when it is too large, too deep, not UTF-8 or not JSON. */
export function readJson(path: string, code: ErrorCode = 'MODEL_INVALID'): unknown {
  return withFile(path, (file) => {
    if (file.size > MAX_JSON_BYTES) {
      throw new XlembedError(code, `${path} has ${file.size} bytes, more than the ${MAX_JSON_BYTES} allowed`);
    }
    const value = parseJson(file.read(0, file.size), path, code);
    if (!isNestedTooDeeply(value)) return value;
    throw new XlembedError(code, `${path} is nested deeper than ${MAX_NESTING} levels`, 'fetch it again');
  });
}

/** undefined when the file does not exist. */
export function readOptionalJson(path: string, code: ErrorCode = 'MODEL_INVALID'): unknown {
  return existsSync(path) ? readJson(path, code) : undefined;
}

function parseJson(bytes: Buffer, path: string, code: ErrorCode): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new XlembedError(code, `${path} is not UTF-8 JSON: ${(cause as Error).message}`, 'fetch it again', {
      cause,
    });
  }
}

/** Checks `raw` against a schema; a misfit is named as "FILE: FIELD: expected X, received Y". */
export function parseFields<S extends z.ZodType>(
  schema: S,
  raw: unknown,
  path: string,
  code: ErrorCode = 'MODEL_INVALID',
): z.infer<S> {
  const result = schema.safeParse(raw, { error: describeIssue });
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  const field = issue.path.length > 0 ? `${issue.path.join('.')}: ` : '';
  throw new XlembedError(code, `${path}: ${field}${issue.message}`, 'correct the file or fetch it again');
}

function describeIssue(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.code !== 'invalid_type') return undefined;
  const type = issue.input === null ? 'null' : Array.isArray(issue.input) ? 'array' : typeof issue.input;
  return `expected ${issue.expected}, received ${type}`;
}

/** Any JSON object, its unknown fields kept. */
export type JsonObject = Record<string, unknown>;

export function readJsonObject(path: string): JsonObject {
  return parseFields(z.record(z.string(), z.unknown()), readJson(path), path);
}
