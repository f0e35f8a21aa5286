import { resolve } from 'node:path';
import { InvalidArgumentError, Option } from 'commander';
import type { LanguageWeights } from '../batches/weights.js';

/** Parsers of option values; commander prints what they throw as a usage error. */
export function integer(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('Expected a whole number of 0 or more.');
  return Number(text);
}

export function positiveInteger(text: string): number {
  const value = integer(text);
  if (value === 0) throw new InvalidArgumentError('Expected a whole number above 0.');
  return value;
}

export function number(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('Expected a number.');
  return value;
}

/** An option with a default that help shows as it would be given: `10-100`, not `[10,100]`. */
export function parsed<T>(flags: string, description: string, parse: (text: string) => T, given: string) {
  return new Option(flags, description).argParser(parse).default(parse(given), given);
}

/** Whole, and without a slash at the end, so that names can be made of it. */
export function outputPath(text: string): string {
  return resolve(text);
}

/** `nprobe=16,efSearch=64` */
export function namedNumbers(text: string): Record<string, number> {
  const entries = list(text).map((item): [string, number] => {
    const [name, value, ...more] = item.split('=');
    if (!name || value === undefined || more.length > 0)
      throw new InvalidArgumentError('Expected name=number.');
    return [name, number(value)];
  });
  return Object.fromEntries(entries);
}

/** `en,de,fr` */
export function list(text: string): string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter(Boolean);
}

/** `equal`, `proportional` or a smoothing temperature above 0. */
export function languageWeights(text: string): LanguageWeights {
  if (text === 'equal' || text === 'proportional') return text;
  const temperature = number(text);
  if (temperature <= 0)
    throw new InvalidArgumentError('Expected equal, proportional or a temperature above 0.');
  return { temperature };
}

/** `10-100`: first and last rank. */
export function rankRange(text: string): [number, number] {
  const [, first, last] = /^(\d+)-(\d+)$/.exec(text) ?? [];
  if (first === undefined || last === undefined)
    throw new InvalidArgumentError('Expected ranks such as 10-100.');
  return [Number(first), Number(last)];
}
