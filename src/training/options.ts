import { z } from 'zod';
import { type Alpha, alphaSchema } from '../batches/alpha.js';
import type { LexiconFile } from '../batches/code_switching/lexicon.js';
import type { CodeSwitchingOptions } from '../batches/code_switching/switcher.js';
import type { Dataset, LanguagePair } from '../batches/options.js';
import { anyOptions, checkOptions } from '../checked_options.js';
import { invalidArgument } from '../errors.js';
import { ENGINE_DEFAULTS, type EngineOptions, engineShape } from './engine_options.js';
import { learningRateAt, type ScheduleName } from './schedule.js';

/** What a run needs besides model and data; every field has a default that works. */
export interface TrainingOptions extends EngineOptions {
  sampler: 'monolingual' | 'cross_lingual' | 'hybrid';
  /** hybrid alone: probability of a monolingual batch, fixed or scheduled over the batches. */
  alpha: Alpha;
  languageWeights: 'equal' | 'proportional' | { temperature: number };
  /** Languages to train on; undefined: every language of the data. */
  languages?: string[] | undefined;
  /** Zero-shot languages: in no batch, neither as positive nor as negative nor by code switching. */
  holdOut: string[];
  /** The only pairs of languages, of the kinds that are among them; see SamplerOptions. */
  languagePairs: LanguagePair[];
  /** Data sets that the records consist of, one behind the other; undefined: one. */
  datasets?: Dataset[] | undefined;
  oneDatasetPerBatch: boolean;
  /** Records that answer each other's queries: never in one batch, or there without being negatives to each other. */
  duplicates: 'avoid' | 'mask';
  /** Passages of the batch that are negatives of a query, by their language seen from the query's. */
  inBatchNegatives: 'any' | 'same' | 'other';
  /** Replaces words of training texts by their translations; undefined: none. */
  codeSwitching?: (CodeSwitchingOptions & { lexicons: LexiconFile[] }) | undefined;
  batchSize: number;
  /** Batches whose gradients are added up to one step; a batch's negatives are its own. */
  accumulate: number;
  /** Updates of the weights. */
  steps: number;
  /** Highest learning rate of the schedule. */
  learningRate: number;
  warmupSteps: number;
  /** What follows the warm-up: decay to 0, or none. */
  schedule: ScheduleName;
  weightDecay: number;
  beta1: number;
  beta2: number;
  epsilon: number;
  maxGradientNorm: number;
  temperature: number;
  /** info_nce: also the loss from passages to queries. */
  symmetric: boolean;
  /**
   * What the loss's matrix products multiply; sums stay float32. bfloat16 is about twice as fast; the CPU takes integers
   * of 16 bits for it, which are nearer to float32.
   */
  lossPrecision: 'float32' | 'bfloat16';
  dropout: boolean;
  /** Hard negatives taken from each record, where it has any. */
  negatives: number;
  /** Language of hard negatives, seen from the positive's: its own, all other training languages, or any. */
  negativeLanguage: 'same' | 'other' | 'any';
  /** Put before queries and passages, in training and later. Default: the model's own, where it has any. */
  queryPrompt: string;
  passagePrompt: string;
  seed: number;
}

/** Some of the options; one that is undefined has its default. */
export type GivenTrainingOptions = { [Name in keyof TrainingOptions]?: TrainingOptions[Name] | undefined };

/** Learning rate, weight decay, batch size and prompts of arXiv 2408.10536; temperature as the field has it. */
export const TRAINING_DEFAULTS: Omit<TrainingOptions, 'warmupSteps'> = {
  ...ENGINE_DEFAULTS,
  sampler: 'hybrid',
  alpha: 0.5,
  languageWeights: 'equal',
  holdOut: [],
  languagePairs: [],
  oneDatasetPerBatch: false,
  duplicates: 'avoid',
  inBatchNegatives: 'any',
  batchSize: 100,
  accumulate: 1,
  steps: 1000,
  learningRate: 3e-5,
  schedule: 'linear',
  weightDecay: 0.01,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  maxGradientNorm: 1,
  temperature: 0.05,
  symmetric: false,
  lossPrecision: 'float32',
  dropout: true,
  negatives: 1,
  negativeLanguage: 'same',
  queryPrompt: 'Query: ',
  passagePrompt: 'Passage: ',
  seed: 0,
};

/** Share of the steps that warm up unless warmupSteps is given. */
const WARMUP_SHARE = 0.1;

const positive = z.number().positive();
const share = z.number().min(0).lt(1);
const switchedSide = z.strictObject({
  probability: z.number().min(0).max(1),
  languages: z.array(z.string()).optional(),
});
const schema = z.strictObject({
  ...engineShape,
  sampler: z.enum(['monolingual', 'cross_lingual', 'hybrid']),
  alpha: alphaSchema,
  languageWeights: z.union([z.enum(['equal', 'proportional']), z.strictObject({ temperature: positive })], {
    error: "'equal', 'proportional' or { temperature }",
  }),
  languages: z.array(z.string().min(1)).min(1).optional(),
  holdOut: z.array(z.string().min(1)),
  languagePairs: z.array(
    z.strictObject({ query: z.string(), positive: z.string(), weight: positive.optional() }),
  ),
  datasets: z
    .array(z.strictObject({ name: z.string(), records: z.int().min(1), weight: positive.optional() }))
    .optional(),
  oneDatasetPerBatch: z.boolean(),
  duplicates: z.enum(['avoid', 'mask']),
  inBatchNegatives: z.enum(['any', 'same', 'other']),
  codeSwitching: z
    .strictObject({
      mode: z.enum(['bilingual', 'multilingual']),
      query: switchedSide,
      passage: switchedSide,
      lexicons: z.array(z.strictObject({ source: z.string(), target: z.string(), path: z.string() })).min(1),
    })
    .optional(),
  batchSize: z.int().min(2),
  accumulate: z.int().min(1),
  steps: z.int().min(1),
  learningRate: positive,
  warmupSteps: z.int().min(0),
  schedule: z.enum(['linear', 'cosine', 'constant']),
  weightDecay: z.number().min(0),
  beta1: share,
  beta2: share,
  epsilon: positive,
  maxGradientNorm: z.number().min(0),
  temperature: positive,
  symmetric: z.boolean(),
  lossPrecision: z.enum(['float32', 'bfloat16']),
  dropout: z.boolean(),
  negatives: z.int().min(0),
  negativeLanguage: z.enum(['same', 'other', 'any']),
  queryPrompt: z.string(),
  passagePrompt: z.string(),
  seed: z.int().min(0),
});

/** Fills in the defaults and checks every field. Throws INVALID_ARGUMENT naming the first wrong one. */
export function resolveTrainingOptions(given: GivenTrainingOptions): TrainingOptions {
  checkOptions(anyOptions, given);
  const present = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const options = { ...TRAINING_DEFAULTS, ...present } as TrainingOptions;
  options.warmupSteps ??= Math.floor(options.steps * WARMUP_SHARE);
  checkOptions(schema, options);
  if (options.symmetric && options.loss !== 'info_nce') {
    throw invalidArgument('symmetric', `false with the loss ${options.loss}`, true, 'info_nce alone has it');
  }
  // Refuses a warm-up that is longer than the run.
  learningRateAt(0, options);
  // Lists in it are the caller's, or the defaults' own.
  return structuredClone(options);
}
