import { fileURLToPath } from 'node:url';
import { resolveTrainingOptions } from 'xlembed';
import { z } from 'zod';
import { readJson } from './files.mjs';
import { REGIMES } from './regimes.mjs';

const options = z.record(z.string(), z.unknown());
const encoder = z
  .strictObject({
    /** `transformer` and `laser2` are made from scratch; else `model` is a folder or a name of the hub. */
    kind: z.enum(['transformer', 'laser2', 'model']),
    model: z.string().optional(),
    /** Sizes in config.json of a model made from scratch. */
    config: options.default({}),
    /** What this encoder has in its own way, over what is common to all. */
    pretraining: options.default({}),
    training: options.default({}),
  })
  .refine(
    ({ kind, model }) => (kind === 'model') === (model !== undefined),
    'a model for kind model, and for it alone',
  );

const shape = z.strictObject({
  title: z.string(),
  seeds: z.array(z.int().min(0)).min(1),
  device: z.string().default('cpu'),
  /** Units at a time, and arithmetic threads of each; null: as many as the machine has. */
  parallel: z.int().min(1).default(1),
  threads: z.int().min(1).nullable().default(null),
  /** What starts `xlembed train` in several processes; empty: training happens in this one. */
  launcher: z.array(z.string()).default([]),
  /** More of its flags, such as those of early stopping. */
  trainFlags: z.array(z.string()).default([]),
  /** Folder with pairs.jsonl, shuffled.jsonl and lexicons/; null: prepare.mjs makes it. */
  data: z.string().nullable().default(null),
  /** Training texts that the vocabulary is taken from. */
  vocabularyTexts: z.int().min(1).default(30_000),
  encoders: z.record(z.string(), encoder),
  regimes: z.array(z.enum(Object.keys(REGIMES))).default(Object.keys(REGIMES)),
  /** Trainer's options, `maxTokens`, and `mix`: how often each file of translations is drawn. null: none. */
  pretraining: options.nullable().default(null),
  /** Trainer's options and `maxTokens`. */
  training: options,
  /** Tokens kept of a text that is measured; null: what the model takes. */
  evaluationTokens: z.int().min(4).nullable().default(null),
  /** Task -> languages, and the folder of its data (null: where prepare.mjs has put it). */
  evaluation: z.record(
    z.string(),
    z.strictObject({
      languages: z.array(z.string()).optional(),
      data: z.string().optional(),
    }),
  ),
  checkpointEvery: z.int().min(1).default(100),
  /** Seeds whose trained models stay. */
  keepModels: z.array(z.int()).default([0]),
});

const schema = shape.refine(
  ({ launcher, encoders }) =>
    launcher.length === 0 || Object.values(encoders).every(({ kind }) => kind === 'model'),
  'a launcher trains published models: kind model for every encoder',
);

/** Settings by name (small, full, gpu, paper) or path, checked down to every option of the trainer. */
export async function readSettings(nameOrPath) {
  const named = !nameOrPath.endsWith('.json');
  const path = named ? fileURLToPath(new URL(`../settings/${nameOrPath}.json`, import.meta.url)) : nameOrPath;
  const parsed = schema.safeParse(await readJson(path));
  if (!parsed.success) {
    const [{ path: field, message }] = parsed.error.issues;
    throw new Error(`${path}: ${field.join('.')}: ${message}`);
  }
  const settings = parsed.data;
  for (const name of Object.keys(settings.encoders)) {
    resolveTrainingOptions(trainingOptions(settings, name, 'training').options);
    if (settings.pretraining) resolveTrainingOptions(trainingOptions(settings, name, 'pretraining').options);
  }
  return settings;
}

/** Options of an encoder in a stage: Trainer's own, and those that are this experiment's. */
export function trainingOptions(settings, encoder, stage) {
  const { maxTokens, mix, ...options } = { ...settings[stage], ...settings.encoders[encoder][stage] };
  return { options, maxTokens, mix };
}
