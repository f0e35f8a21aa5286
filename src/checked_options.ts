import { z } from 'zod';
import { invalidArgument, XlembedError } from './errors.js';

const NOUNS: Record<string, string> = {
  int: 'a whole number',
  number: 'a number',
  string: 'a text',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
};

/** A list whose items are looked at later: there may be millions. */
export const listSchema = z.custom((value) => Array.isArray(value), 'a list');
export const functionSchema = z.custom((value) => typeof value === 'function', 'a function');
export const signalSchema = z.custom((value) => value instanceof AbortSignal, 'an AbortSignal');
export const seedSchema = z.int().min(0);
export const malformedSchema = z.enum(['fail', 'skip']);
/** Of options whose fields are checked elsewhere. */
export const anyOptions = z.looseObject({});

/** Throws INVALID_ARGUMENT unless a required path is a text. */
export function requirePath(name: string, path: unknown): void {
  checkOptions(z.object({ [name]: z.string() }), { [name]: path });
}

/** Throws INVALID_ARGUMENT naming the first option that a schema does not know or allow. */
export function checkOptions(schema: z.ZodObject, options: unknown): void {
  const issue = schema.safeParse(options).error?.issues[0];
  if (!issue) return;
  const name = issue.path.join('.');
  if (issue.code === 'unrecognized_keys') {
    const unknown = [...issue.path, issue.keys[0]].join('.');
    const known = name === '' ? `the options are: ${Object.keys(schema.shape).join(', ')}` : '';
    throw new XlembedError('INVALID_ARGUMENT', `there is no option ${unknown}`, known);
  }
  const value = issue.path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown>)[key], options);
  throw invalidArgument(name || 'options', expectedBy(issue), value);
}

function expectedBy(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return NOUNS[issue.expected] ?? issue.expected;
    case 'invalid_value':
      return issue.values.join(' or ');
    case 'too_small':
      return `${NOUNS[issue.origin]} of ${issue.inclusive ? 'at least' : 'more than'} ${issue.minimum}`;
    case 'too_big':
      return `${NOUNS[issue.origin]} of ${issue.inclusive ? 'at most' : 'less than'} ${issue.maximum}`;
    default:
      return issue.message;
  }
}
