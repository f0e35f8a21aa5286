import { InvalidArgumentError } from 'commander';
import type { Alpha } from '../batches/alpha.js';
import type { LexiconFile } from '../batches/code_switching/lexicon.js';
import type { LanguagePair } from '../batches/options.js';
import { integer, list, number } from './arguments.js';

/** Parsers of the options that say how batches are filled; commander prints what they throw as a usage error. */
export interface DataFlag {
  path: string;
  weight?: number;
}

/** `0.5`, linear `0.8..0.2`, or from a batch on `0=0.8,500=0.2`. */
export function alpha(text: string): Alpha {
  const [from, to, more] = text.split('..');
  if (to !== undefined && more === undefined) return { from: number(from!), to: number(to) };
  if (!text.includes('=')) return number(text);
  return list(text).map((step) => {
    const [batch, value] = splitLast(step, '=');
    return { batch: integer(batch), alpha: number(value ?? '') };
  });
}

/** `en-de,de-en=2,zh_Hans-en`: query and passage language, which may hold hyphens where `>` parts them. */
export function languagePairs(text: string): LanguagePair[] {
  return list(text).map((item) => {
    const [pair, weight] = splitLast(item, '=');
    const [query, positive] = splitPair(pair);
    return { query, positive, ...(weight !== undefined && { weight: number(weight) }) };
  });
}

/** A path with or without `=weight`; one more of those before it. */
export function data(text: string, before: DataFlag[] = []): DataFlag[] {
  const [path, weight] = splitLast(text, '=');
  if (weight === undefined || !/^\d*\.?\d+$/.test(weight)) return [...before, { path: text }];
  return [...before, { path, weight: number(weight) }];
}

function splitPair(pair: string): [string, string] {
  const [first, second, more] = pair.split(pair.includes('>') ? '>' : '-');
  if (first && second && more === undefined) return [first, second];
  throw new InvalidArgumentError('Expected two languages such as en-de or zh-Hans>en.');
}

/** `en-de=words.tsv`; one more of those before it. */
export function lexicon(text: string, before: LexiconFile[] = []): LexiconFile[] {
  const at = text.indexOf('=');
  if (at < 0) throw new InvalidArgumentError('Expected languages and a file, such as en-de=words.tsv.');
  const [source, target] = splitPair(text.slice(0, at));
  return [...before, { source, target, path: text.slice(at + 1) }];
}

/** `0.5`, or `0.3,0.5` for queries and passages. */
export function probabilities(text: string): { query: number; passage: number } {
  const [query, passage = query, ...more] = text.split(',').map(number);
  if (more.length > 0) throw new InvalidArgumentError('Expected one share, or two such as 0.3,0.5.');
  return { query: query!, passage: passage! };
}

/** `0.9,0.999` */
export function betas(text: string): [number, number] {
  const [first, second, ...more] = list(text).map(number);
  if (first !== undefined && second !== undefined && more.length === 0) return [first, second];
  throw new InvalidArgumentError('Expected two numbers such as 0.9,0.999.');
}

function splitLast(text: string, mark: string): [string, string | undefined] {
  const at = text.lastIndexOf(mark);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}
