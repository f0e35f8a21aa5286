import { existsSync } from 'node:fs';
import { mkdir, open, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import { formatSamplerDescription } from '../batches/describe.js';
import type { LanguageWeights } from '../batches/weights.js';
import { readRecords } from '../datasets/read_records.js';
import { Encoder } from '../encoding/encoder.js';
import { XlembedError } from '../errors.js';
import { promptFor } from '../models/prompts.js';
import type { Dtype } from '../native.js';
import { TRAINING_DEFAULTS, type TrainingOptions } from '../training/options.js';
import { type StepEvent, Trainer } from '../training/trainer.js';
import { integer, languageWeights, list, number, positiveInteger } from './arguments.js';
import { type Console, createConsole, settingsLines } from './console.js';
import { Interrupt } from './interrupt.js';
import { versions } from './versions.js';

interface TrainFlags {
  model?: string;
  config?: string;
  tokenizer?: string;
  data: string[];
  output: string;
  overwrite?: boolean;
  sampler: TrainingOptions['sampler'];
  alpha: number;
  languages?: string[];
  languageWeights: LanguageWeights;
  batchSize: number;
  steps: number;
  learningRate?: number;
  warmupSteps?: number;
  weightDecay: number;
  temperature: number;
  symmetric?: boolean;
  dropout: boolean;
  negatives: number;
  maxTokens?: number;
  queryPrompt?: string;
  passagePrompt?: string;
  pooling: 'mean' | 'first';
  seed: number;
  device: string;
  skipMalformed?: boolean;
  json?: boolean;
}

/** Highest learning rate where none is given: for given weights that of the paper, else one that fresh weights need. */
const LEARNING_RATE = { pretrained: TRAINING_DEFAULTS.learningRate, fresh: 5e-4 };

export function addTrain(program: Command): void {
  const defaults = TRAINING_DEFAULTS;
  program
    .command('train')
    .description('Fine-tune a model, or train one from scratch, on question-passage pairs')
    .option('--model <dir>', 'sentence-transformers or Hugging Face folder to start from')
    .option('--config <file>', 'config.json of a model with fresh weights (instead of --model)')
    .option('--tokenizer <file>', 'tokenizer.json for --config')
    .requiredOption(
      '--data <file...>',
      'JSONL: parallel {id, query: {lang: text}, positive: {lang: text}} or flat {query, positive, negatives?, query_lang?, positive_lang?}',
    )
    .requiredOption('--output <dir>', 'where the trained model goes')
    .option('--overwrite', 'replace the output folder')
    .addOption(
      new Option('--sampler <name>', 'how a batch is filled')
        .choices(['monolingual', 'cross_lingual', 'hybrid'])
        .default(defaults.sampler),
    )
    .option('--alpha <share>', 'hybrid: probability of a monolingual batch', number, defaults.alpha)
    .option(
      '--languages <list>',
      'training languages, comma-separated; others are held out (default: all)',
      list,
    )
    .option(
      '--language-weights <scheme>',
      'equal, proportional, or a smoothing temperature',
      languageWeights,
      'equal',
    )
    .option('--batch-size <pairs>', 'pairs in a batch', positiveInteger, defaults.batchSize)
    .option('--steps <n>', 'training steps', positiveInteger, defaults.steps)
    .option(
      '--learning-rate <rate>',
      `highest rate (default: ${LEARNING_RATE.pretrained}, with --config ${LEARNING_RATE.fresh})`,
      number,
    )
    .option('--warmup-steps <n>', 'steps of linear growth (default: a tenth of the steps)', integer)
    .option('--weight-decay <x>', 'AdamW, not on biases and LayerNorm', number, defaults.weightDecay)
    .option('--temperature <t>', 'of the contrastive loss', number, defaults.temperature)
    .option('--symmetric', 'also the loss from passages to queries')
    .option('--no-dropout', 'switch dropout off')
    .option(
      '--negatives <n>',
      'hard negatives of each pair, where the data has any',
      integer,
      defaults.negatives,
    )
    .option('--max-tokens <n>', 'tokens kept of each text (default: what the model takes)', positiveInteger)
    .option(
      '--query-prompt <text>',
      `before queries (default: the model's own, else ${JSON.stringify(defaults.queryPrompt)})`,
    )
    .option(
      '--passage-prompt <text>',
      `before passages (default: the model's own, else ${JSON.stringify(defaults.passagePrompt)})`,
    )
    .addOption(new Option('--pooling <mode>', 'with --config').choices(['mean', 'first']).default('mean'))
    .option('--seed <n>', 'of weights, batches and dropout', integer, defaults.seed)
    .option('--device <name>', 'cpu, cuda or cuda:N', 'cpu')
    .option('--skip-malformed', 'leave malformed lines out and count them')
    .option('--json', 'print the result as JSON')
    .action(train);
}

async function train(flags: TrainFlags): Promise<void> {
  const console = createConsole(flags);
  checkOutput(flags);
  const onMalformed = flags.skipMalformed ? 'skip' : 'fail';
  const { records, counts } = await readRecords(flags.data, { onMalformed });
  if (counts.skipped)
    console.info(`${counts.skipped} malformed lines left out; the first: ${counts.firstSkipped}`);
  const encoder = await openEncoder(flags);
  const options = trainingOptions(flags, encoder);
  const trainer = await Trainer.create(encoder, records, options);
  const settings = {
    ...trainer.options,
    model: flags.model,
    config: flags.config,
    tokenizer: flags.tokenizer,
    data: flags.data,
    records: records.length,
    maxTokens: encoder.model.maxTokens,
    device: encoder.device,
    dtype: encoder.dtype satisfies Dtype,
  };
  console.info(`settings\n${settingsLines(settings)}`);
  console.info(formatSamplerDescription(trainer.sampler.describe()));
  for (const note of encoder.model.notes) console.info(`note: ${note}`);

  using interrupt = new Interrupt();
  const working = `${flags.output}.partial`;
  await rm(working, { recursive: true, force: true });
  await mkdir(working, { recursive: true });
  const summary = await runSteps(trainer, working, console, interrupt);
  const { queryPrompt, passagePrompt } = trainer.options;
  await encoder.save(flags.output, {
    overwrite: flags.overwrite ?? false,
    prompts: { ...encoder.model.prompts, query: queryPrompt, passage: passagePrompt },
  });
  await writeFile(
    join(working, 'training.json'),
    `${JSON.stringify({ command: process.argv.slice(2), settings, versions: versions(), ...summary }, null, 2)}\n`,
  );
  for (const file of ['training_log.jsonl', 'training.json']) {
    await rename(join(working, file), join(flags.output, file));
  }
  await rm(working, { recursive: true });
  trainer.dispose();
  await encoder.dispose();
  console.result(
    `trained ${summary.steps} steps in ${summary.seconds.toFixed(1)} s, last loss ${summary.lastLoss.toFixed(4)}; model in ${flags.output}`,
    { output: flags.output, ...summary },
  );
  if (interrupt.exitCode !== undefined) process.exitCode = interrupt.exitCode;
}

function checkOutput({ output, overwrite }: TrainFlags): void {
  if (!existsSync(output) || overwrite) return;
  throw new XlembedError('FILE_EXISTS', `${output} exists`, 'name another --output, or give --overwrite');
}

async function openEncoder(flags: TrainFlags): Promise<Encoder> {
  const options = { device: flags.device, maxTokens: flags.maxTokens };
  if (flags.model !== undefined && flags.config === undefined) return Encoder.load(flags.model, options);
  if (flags.model === undefined && flags.config !== undefined && flags.tokenizer !== undefined) {
    const fresh = { configPath: flags.config, tokenizerPath: flags.tokenizer, pooling: flags.pooling };
    return Encoder.fresh(fresh, flags.seed, options);
  }
  throw new XlembedError(
    'INVALID_ARGUMENT',
    'expected either --model, or --config and --tokenizer',
    'xlembed train --help',
  );
}

function trainingOptions(flags: TrainFlags, encoder: Encoder): Partial<TrainingOptions> {
  const { model } = encoder;
  const stored = Object.keys(model.prompts).length > 0;
  const fallback = flags.model === undefined ? LEARNING_RATE.fresh : LEARNING_RATE.pretrained;
  return {
    sampler: flags.sampler,
    alpha: flags.alpha,
    languageWeights: flags.languageWeights,
    languages: flags.languages,
    batchSize: flags.batchSize,
    steps: flags.steps,
    learningRate: flags.learningRate ?? fallback,
    ...(flags.warmupSteps !== undefined && { warmupSteps: flags.warmupSteps }),
    weightDecay: flags.weightDecay,
    temperature: flags.temperature,
    symmetric: flags.symmetric ?? false,
    dropout: flags.dropout,
    negatives: flags.negatives,
    queryPrompt: flags.queryPrompt ?? (stored ? promptFor(model, 'query') : TRAINING_DEFAULTS.queryPrompt),
    passagePrompt:
      flags.passagePrompt ?? (stored ? promptFor(model, 'passage') : TRAINING_DEFAULTS.passagePrompt),
    seed: flags.seed,
  };
}

/** Trains to the end or to an interrupt, a JSON line for each step in `working`/training_log.jsonl. */
async function runSteps(trainer: Trainer, working: string, console: Console, interrupt: Interrupt) {
  const { steps } = trainer.options;
  const progress = console.progress('training', steps);
  const log = await open(join(working, 'training_log.jsonl'), 'w');
  const totals = { steps: 0, pairs: 0, tokens: 0, skipped: 0, lastLoss: Number.NaN, interrupted: false };
  const begun = performance.now();
  try {
    for await (const event of trainer.run(join(working, 'failed_batch.json'))) {
      await log.write(`${JSON.stringify(event)}\n`);
      totals.steps = event.step;
      totals.pairs += event.pairs;
      totals.tokens += event.tokens;
      totals.skipped += event.skipped ? 1 : 0;
      totals.lastLoss = event.loss;
      progress.update(event.step, stepLine(event));
      totals.interrupted = interrupt.exitCode !== undefined;
      if (totals.interrupted) break;
    }
  } finally {
    progress.stop();
    await log.close();
  }
  return { ...totals, seconds: (performance.now() - begun) / 1000 };
}

function stepLine(event: StepEvent): string {
  const rate = (event.tokens / event.seconds).toFixed(0);
  return `loss ${event.loss.toFixed(4)} | accuracy ${event.accuracy.toFixed(3)} | rate ${event.learningRate.toExponential(1)} | ${rate} tokens/s`;
}
