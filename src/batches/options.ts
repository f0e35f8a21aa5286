import { z } from 'zod';
import { invalidArgument } from '../errors.js';
import type { LanguageWeights } from './weights.js';

export interface SamplerOptions {
  sampler: 'monolingual' | 'cross_lingual' | 'hybrid';
  /**
   * Probability of a monolingual batch, 0..1. Default 0.5, the best in arXiv 2408.10536. Read by the hybrid
   * sampler alone: for the others it is 1 and 0, whatever is given.
   */
  alpha?: number | undefined;
  /** How a language (monolingual) or a pair of languages (cross-lingual) is drawn. Default 'equal'. */
  languageWeights?: LanguageWeights | undefined;
  /** Pairs in a batch, at least 2: a pair alone has no negatives. */
  batchSize: number;
  /** Integer from 0 to 2^53 - 1. */
  seed: number;
  /** Languages to train on; all others are held out. Default: every language of the dataset. */
  languages?: readonly string[] | undefined;
}

export interface ResolvedOptions {
  sampler: SamplerOptions['sampler'];
  /** 1 for monolingual, 0 for cross_lingual. */
  alpha: number;
  languageWeights: LanguageWeights;
  batchSize: number;
  seed: number;
  /** In code unit order, so that the order they were given in changes no batch. */
  languages: string[];
}

const SAMPLERS = ['monolingual', 'cross_lingual', 'hybrid'] as const;
const weights = z.union([
  z.enum(['equal', 'proportional']),
  z.strictObject({ temperature: z.number().positive() }),
]);

function check(valid: boolean, name: string, expected: string, received: unknown, hint: string): void {
  if (!valid) throw invalidArgument(name, expected, received, hint);
}

/** Defaults filled in, and INVALID_ARGUMENT for whatever no dataset could satisfy. */
export function resolveOptions(options: SamplerOptions, known: readonly string[]): ResolvedOptions {
  const { sampler, alpha = 0.5, batchSize, seed, languageWeights = 'equal' } = options;
  check(SAMPLERS.includes(sampler), 'sampler', `one of ${SAMPLERS.join(', ')}`, sampler, '');
  check(
    alpha >= 0 && alpha <= 1,
    'alpha',
    'a number from 0 to 1',
    alpha,
    'The probability of a monolingual batch.',
  );
  checkWeights(languageWeights);
  const size = Number.isSafeInteger(batchSize) && batchSize >= 2;
  check(size, 'batchSize', 'an integer of at least 2', batchSize, 'A pair alone has no negatives.');
  check(Number.isSafeInteger(seed) && seed >= 0, 'seed', 'an integer from 0 to 2^53 - 1', seed, '');
  const languages = resolveLanguages(options.languages, known);
  const fixed = { monolingual: 1, cross_lingual: 0, hybrid: alpha };
  return { sampler, alpha: fixed[sampler], languageWeights, batchSize, seed, languages };
}

function checkWeights(received: LanguageWeights): void {
  if (weights.safeParse(received).success) return;
  const expected = "'equal', 'proportional' or { temperature: a number above 0 }";
  const meaning = 'A temperature of 1 is proportional; the higher it is, the nearer to equal.';
  const shown = typeof received === 'object' ? JSON.stringify(received) : received;
  throw invalidArgument('languageWeights', expected, shown, meaning);
}

function resolveLanguages(wanted: readonly string[] | undefined, known: readonly string[]): string[] {
  if (wanted === undefined) return [...known];
  const remedy = `The dataset has: ${known.join(', ')}.`;
  check(Array.isArray(wanted) && wanted.length > 0, 'languages', 'one language or more', wanted, remedy);
  for (const language of wanted) {
    check(known.includes(language), 'languages', 'languages of the dataset', language, remedy);
  }
  check(new Set(wanted).size === wanted.length, 'languages', 'each language once', wanted.join(', '), remedy);
  return [...wanted].sort();
}
