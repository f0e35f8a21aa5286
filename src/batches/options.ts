import { z } from 'zod';
import { checkOptions } from '../checked_options.js';
import { invalidArgument } from '../errors.js';
import { ALPHA_EXPECTED, type Alpha, alphaOf, alphaSchema } from './alpha.js';
import type { RecordRange } from './cells.js';
import { isHeldOut } from './held_out.js';
import type { LanguageWeights } from './weights.js';

export interface SamplerOptions {
  sampler: 'monolingual' | 'cross_lingual' | 'hybrid';
  /**
   * Probability of a monolingual batch. Default 0.5, the best in arXiv 2408.10536. Read by the hybrid sampler
   * alone: for the others it is 1 and 0, whatever is given.
   */
  alpha?: Alpha | undefined;
  /** Batches of the whole run, over which a linear alpha goes. Default 1,000. */
  batches?: number | undefined;
  /** How a language (monolingual) or a pair of languages (cross-lingual) is drawn. Default 'equal'. */
  languageWeights?: LanguageWeights | undefined;
  /**
   * The only pairs of languages to draw, of the kinds (monolingual, cross-lingual) that are among them. A weight
   * (default 1) multiplies what languageWeights gives.
   */
  languagePairs?: readonly LanguagePair[] | undefined;
  /** Pairs in a batch, at least 2: a pair alone has no negatives. */
  batchSize: number;
  /** Integer from 0 to 2^53 - 1. */
  seed: number;
  /** Languages to train on; all others are held out. Default: every language of the dataset. */
  languages?: readonly string[] | undefined;
  /** Languages never to train on; `el` holds out `el-GR` and `ell` too. */
  holdOut?: readonly string[] | undefined;
  /** Data sets that the records consist of, one behind the other. Default: one. */
  datasets?: readonly Dataset[] | undefined;
  /**
   * Records that share a query or positive (its text or id), or of which one's positive answers the other's query
   * in a third record: 'avoid' (default) keeps them out of each other's batches, 'mask' lets them meet, for a loss
   * that does not take them for negatives.
   */
  duplicates?: 'avoid' | 'mask' | undefined;
  /** All pairs of a batch from one data set. Default false: every pair draws its own. */
  oneDatasetPerBatch?: boolean | undefined;
}

export interface LanguagePair {
  query: string;
  positive: string;
  weight?: number | undefined;
}

export interface Dataset {
  name: string;
  /** Number of its records. */
  records: number;
  /**
   * How often it is drawn. Where a data set has one, languages are drawn within a data set, and the default is the
   * number of its records; where none has, all are drawn from as if they were one.
   */
  weight?: number | undefined;
}

export interface ResolvedOptions {
  sampler: SamplerOptions['sampler'];
  /** 1 for monolingual, 0 for cross_lingual. */
  alpha: Alpha;
  batches: number;
  languageWeights: LanguageWeights;
  languagePairs: readonly LanguagePair[];
  batchSize: number;
  seed: number;
  /** In code unit order, so that the order they were given in changes no batch. */
  languages: string[];
  datasets: readonly (RecordRange & { name: string; weight: number })[];
  /** Whether a data set was given a weight. */
  weighted: boolean;
  oneDatasetPerBatch: boolean;
  duplicates: 'avoid' | 'mask';
}

const SAMPLERS = ['monolingual', 'cross_lingual', 'hybrid'] as const;
const weights = z.union([
  z.enum(['equal', 'proportional']),
  z.strictObject({ temperature: z.number().positive() }),
]);

/** What no check below names better. */
const schema = z.object({
  batches: z.int().min(1).optional(),
  languagePairs: z
    .array(z.object({ query: z.string(), positive: z.string(), weight: z.number().optional() }))
    .optional(),
  holdOut: z.array(z.string()).optional(),
  datasets: z
    .array(z.object({ name: z.string(), records: z.int().min(1), weight: z.number().optional() }))
    .optional(),
  duplicates: z.enum(['avoid', 'mask']).optional(),
  oneDatasetPerBatch: z.boolean().optional(),
});

function check(valid: boolean, name: string, expected: string, received: unknown, hint: string): void {
  if (!valid) throw invalidArgument(name, expected, received, hint);
}

/** Defaults filled in, and INVALID_ARGUMENT for whatever no dataset could satisfy. */
export function resolveOptions(
  options: SamplerOptions,
  known: readonly string[],
  records: number,
): ResolvedOptions {
  checkOptions(schema, options);
  const { sampler, alpha = 0.5, batchSize, seed, languageWeights = 'equal', languagePairs = [] } = options;
  check(SAMPLERS.includes(sampler), 'sampler', `one of ${SAMPLERS.join(', ')}`, sampler, '');
  const probability = alphaSchema.safeParse(alpha).success;
  const expected = typeof alpha === 'number' ? 'a number from 0 to 1' : ALPHA_EXPECTED;
  check(probability, 'alpha', expected, alpha, 'The probability of a monolingual batch.');
  checkWeights(languageWeights);
  const size = Number.isSafeInteger(batchSize) && batchSize >= 2;
  check(size, 'batchSize', 'an integer of at least 2', batchSize, 'A pair alone has no negatives.');
  check(Number.isSafeInteger(seed) && seed >= 0, 'seed', 'an integer from 0 to 2^53 - 1', seed, '');
  const languages = resolveLanguages(options, known);
  checkPairs(languagePairs, languages);
  return {
    ...{
      sampler,
      alpha: alphaOf(sampler, alpha),
      batches: options.batches ?? 1000,
      languageWeights,
      languagePairs,
    },
    ...{ batchSize, seed, languages },
    datasets: resolveDatasets(options.datasets, records),
    weighted: options.datasets?.some(({ weight }) => weight !== undefined) ?? false,
    oneDatasetPerBatch: options.oneDatasetPerBatch ?? false,
    duplicates: options.duplicates ?? 'avoid',
  };
}

function checkWeights(received: LanguageWeights): void {
  if (weights.safeParse(received).success) return;
  const expected = "'equal', 'proportional' or { temperature: a number above 0 }";
  const meaning = 'A temperature of 1 is proportional; the higher it is, the nearer to equal.';
  const shown = typeof received === 'object' ? JSON.stringify(received) : received;
  throw invalidArgument('languageWeights', expected, shown, meaning);
}

function resolveLanguages(
  { languages: wanted, holdOut = [] }: SamplerOptions,
  known: readonly string[],
): string[] {
  const remedy = `The dataset has: ${known.join(', ')}.`;
  if (wanted === undefined) {
    const kept = known.filter((language) => !isHeldOut(language, holdOut));
    check(kept.length > 0, 'holdOut', 'languages that leave one to train on', holdOut.join(', '), remedy);
    return kept;
  }
  check(Array.isArray(wanted) && wanted.length > 0, 'languages', 'one language or more', wanted, remedy);
  for (const language of wanted) {
    check(known.includes(language), 'languages', 'languages of the dataset', language, remedy);
    const free = !isHeldOut(language, holdOut);
    check(free, 'languages', 'languages that holdOut does not name', language, 'Take it out of one of them.');
  }
  check(new Set(wanted).size === wanted.length, 'languages', 'each language once', wanted.join(', '), remedy);
  return [...wanted].sort();
}

function checkPairs(pairs: readonly LanguagePair[], languages: readonly string[]): void {
  const seen = new Set<string>();
  const remedy = `The training languages: ${languages.join(', ')}.`;
  for (const { query, positive, weight = 1 } of pairs) {
    const shown = `${query}-${positive}`;
    const known = languages.includes(query) && languages.includes(positive);
    check(known, 'languagePairs', 'training languages', shown, remedy);
    check(weight > 0 && weight < 2 ** 20, 'languagePairs', 'weights above 0', weight, `Pair ${shown}.`);
    check(!seen.has(shown), 'languagePairs', 'each pair once', shown, '');
    seen.add(shown);
  }
}

function resolveDatasets(
  given: readonly Dataset[] | undefined,
  records: number,
): ResolvedOptions['datasets'] {
  let end = 0;
  const datasets = (given ?? [{ name: 'data', records }]).map((dataset) => {
    const { name, weight = dataset.records } = dataset;
    check(weight > 0 && weight < 2 ** 40, 'datasets', 'weights above 0', weight, `Data set ${name}.`);
    const first = end;
    end += dataset.records;
    return { name, weight, first, end };
  });
  check(end === records, 'datasets', `${records} records in all`, end, '');
  return datasets;
}
