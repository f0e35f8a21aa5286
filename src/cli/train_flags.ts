import { type Command, Option } from 'commander';
import type { Alpha } from '../batches/alpha.js';
import type { LexiconFile } from '../batches/code_switching/lexicon.js';
import type { CodeSwitchingOptions } from '../batches/code_switching/switcher.js';
import type { Dataset, LanguagePair } from '../batches/options.js';
import type { LanguageWeights } from '../batches/weights.js';
import { Encoder } from '../encoding/encoder.js';
import { XlembedError } from '../errors.js';
import { taskNames } from '../evaluation/tasks/registry.js';
import { loadNative } from '../native.js';
import { readLaunch } from '../processes/launch.js';
import { type GivenTrainingOptions, TRAINING_DEFAULTS, type TrainingOptions } from '../training/options.js';
import { integer, languageWeights, list, number, outputPath, parsed, positiveInteger } from './arguments.js';
import {
  alpha,
  betas,
  type DataFlag,
  data,
  languagePairs,
  lexicon,
  probabilities,
} from './batch_arguments.js';
import type { Console } from './console.js';
import { declareEngine, type EngineFlags, engineOptions } from './engine_flags.js';
import { type ModelFlags, modelFolder, withModel } from './model_option.js';

export interface TrainFlags extends Partial<ModelFlags>, EngineFlags {
  config?: string;
  tokenizer?: string;
  data: DataFlag[];
  output: string;
  overwrite?: boolean;
  resume?: boolean;
  checkpointEvery: number;
  keepCheckpoints: number;
  evalEvery?: number;
  evalRecords?: number;
  evalTask?: string;
  evalData?: string;
  watch?: string;
  patience?: number;
  sampler: TrainingOptions['sampler'];
  alpha: Alpha;
  languages?: string[];
  holdOut?: string[];
  languagePairs?: LanguagePair[];
  oneDatasetPerBatch?: boolean;
  duplicates: TrainingOptions['duplicates'];
  inBatchNegatives: TrainingOptions['inBatchNegatives'];
  lexicon?: LexiconFile[];
  codeSwitch: { query: number; passage: number };
  codeSwitchMode: CodeSwitchingOptions['mode'];
  switchQueriesTo?: string[];
  switchPassagesTo?: string[];
  languageWeights: LanguageWeights;
  batchSize: number;
  accumulate: number;
  steps: number;
  learningRate?: number;
  warmupSteps?: number;
  schedule: TrainingOptions['schedule'];
  weightDecay: number;
  betas: [number, number];
  epsilon: number;
  maxGradientNorm: number;
  temperature: number;
  symmetric?: boolean;
  lossPrecision: 'float32' | 'bfloat16';
  dropout: boolean;
  negatives: number;
  negativeLanguage: TrainingOptions['negativeLanguage'];
  maxTokens?: number;
  queryPrompt?: string;
  passagePrompt?: string;
  pooling: 'mean' | 'first';
  seed: number;
  device?: string;
  processTimeout: number;
  skipMalformed?: boolean;
  json?: boolean;
}

/** Highest learning rate where none is given: for given weights that of the paper, else one that fresh weights need. */
const LEARNING_RATE = { pretrained: TRAINING_DEFAULTS.learningRate, fresh: 5e-4 };

/** Declares the options of `xlembed train`. */
export function declareTrain(program: Command): Command {
  const defaults = TRAINING_DEFAULTS;
  const command = withModel(program.command('train'), 'to start from', { mandatory: false })
    .description('Fine-tune a model, or train one from scratch, on question-passage pairs')
    .option('--config <file>', 'config.json of a model with fresh weights (instead of --model)')
    .option('--tokenizer <file>', 'tokenizer.json for --config')
    .requiredOption(
      '--data <file...>',
      'JSONL, or JSONL=weight (drawn before the languages): parallel {id, query: {lang: text}, positive: {lang: text}} or flat {query, positive, negatives?, query_lang?, positive_lang?}',
      data,
    )
    .requiredOption('--output <dir>', 'where the trained model goes', outputPath)
    .option('--overwrite', 'replace the output folder, and what an interrupted run has left')
    .option('--resume', 'go on where a run with this output was stopped or killed')
    .option('--checkpoint-every <n>', 'steps from one checkpoint to the next', positiveInteger, 500)
    .option('--keep-checkpoints <n>', 'newest checkpoints that stay, beside the best', positiveInteger, 2)
    .option('--eval-every <n>', 'steps from one evaluation to the next (default: a tenth)', positiveInteger)
    .option('--eval-records <n>', 'about so many records held out of training for it', positiveInteger)
    .option('--eval-task <name>', `a benchmark for it: ${taskNames().join(', ').replaceAll('_', '-')}`)
    .option('--eval-data <dir>', "folder with that benchmark's files")
    .option(
      '--watch <measure>',
      'decides which model is kept: loss, accuracy, cross_lingual_map, ... (default: loss; of a benchmark alone multilingual_map or what its kind has)',
    )
    .option(
      '--patience <n>',
      'evaluations without a better value after which training stops',
      positiveInteger,
    )
    .addOption(
      new Option('--sampler <name>', 'how a batch is filled')
        .choices(['monolingual', 'cross_lingual', 'hybrid'])
        .default(defaults.sampler),
    )
    .option(
      '--alpha <share>',
      'hybrid: probability of a monolingual batch: 0.5, linear 0.8..0.2, or from a batch (not step) on: 0=0.8,500=0.2',
      alpha,
      defaults.alpha,
    )
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
    .option('--hold-out <list>', 'zero-shot languages, in no batch in any way', list)
    .option(
      '--language-pairs <list>',
      'the only pairs of query and passage language: en-de,de-en=2,en-en (with weights)',
      languagePairs,
    )
    .option('--one-dataset-per-batch', 'each batch from one of the --data files (default: mixed)')
    .addOption(
      new Option(
        '--duplicates <policy>',
        "records that answer each other's queries: never in one batch, or there and masked as negatives",
      )
        .choices(['avoid', 'mask'])
        .default(defaults.duplicates),
    )
    .addOption(
      new Option('--in-batch-negatives <policy>', "by language, seen from the query's")
        .choices(['any', 'same', 'other'])
        .default(defaults.inBatchNegatives),
    )
    .option(
      '--lexicon <pair=file...>',
      'en-de=words.tsv: code switching replaces words by their translations (word<TAB>translation|translation)',
      lexicon,
    )
    .addOption(
      parsed(
        '--code-switch <share>',
        'with --lexicon: probability of a word; of queries and passages: 0.3,0.5',
        probabilities,
        '0.5',
      ),
    )
    .addOption(
      new Option('--code-switch-mode <name>', 'a target language for each word, or for each text')
        .choices(['multilingual', 'bilingual'])
        .default('multilingual'),
    )
    .option('--switch-queries-to <list>', 'languages (default: those of all lexicons)', list)
    .option('--switch-passages-to <list>', 'languages (default: those of all lexicons)', list)
    .option('--batch-size <pairs>', 'pairs in a batch', positiveInteger, defaults.batchSize)
    .option(
      '--accumulate <n>',
      'batches whose gradients make one step (negatives stay within a batch)',
      positiveInteger,
      defaults.accumulate,
    )
    .option(
      '--steps <n>',
      'training steps: updates of the weights (there are no epochs: each batch is drawn anew)',
      positiveInteger,
      defaults.steps,
    )
    .option(
      '--learning-rate <rate>',
      `highest rate (default: ${LEARNING_RATE.pretrained}, with --config ${LEARNING_RATE.fresh})`,
      number,
    )
    .option('--warmup-steps <n>', 'steps of linear growth (default: a tenth of the steps)', integer)
    .addOption(
      new Option('--schedule <name>', 'what follows the warm-up')
        .choices(['linear', 'cosine', 'constant'])
        .default(defaults.schedule),
    )
    .option('--weight-decay <x>', 'AdamW, not on biases and LayerNorm', number, defaults.weightDecay)
    .addOption(
      parsed(
        '--betas <first,second>',
        'AdamW: decay of its moments',
        betas,
        `${defaults.beta1},${defaults.beta2}`,
      ),
    )
    .option('--epsilon <x>', 'AdamW', number, defaults.epsilon)
    .option(
      '--max-gradient-norm <x>',
      'longer gradients are scaled down to it (0: never)',
      number,
      defaults.maxGradientNorm,
    )
    .option('--temperature <t>', 'of the contrastive loss', number, defaults.temperature)
    .option('--symmetric', 'info_nce: also the loss from passages to queries')
    .addOption(
      new Option('--loss-precision <type>', 'what the matrix products of the loss multiply')
        .choices(['float32', 'bfloat16'])
        .default(defaults.lossPrecision),
    )
    .option('--no-dropout', 'switch dropout off')
    .option(
      '--negatives <n>',
      'hard negatives of each pair, where the data has any',
      integer,
      defaults.negatives,
    )
    .addOption(
      new Option('--negative-language <policy>', "of hard negatives, seen from the positive's")
        .choices(['same', 'other', 'any'])
        .default(defaults.negativeLanguage),
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
    .option(
      '--device <name>',
      'cpu, cuda or cuda:N (default: cpu; with a launcher the GPU of the local rank)',
    )
    .option(
      '--process-timeout <seconds>',
      'with a launcher such as torchrun: how long a process waits for another',
      positiveInteger,
      300,
    )
    .option('--skip-malformed', 'leave malformed lines out and count them')
    .option('--json', 'print the result as JSON');
  return declareEngine(command);
}

/** With a launcher each process of a machine has a GPU of its own, where there are any. */
export function trainingDevice({ device }: Pick<TrainFlags, 'device'>): string {
  const launch = readLaunch();
  const { cudaDevices } = loadNative().info();
  if (device !== undefined || !launch || cudaDevices === 0) return device ?? 'cpu';
  return `cuda:${launch.localRank % cudaDevices}`;
}

/** The model that the flags name: given weights, or fresh ones. */
export async function openEncoder(flags: TrainFlags, console: Console): Promise<Encoder> {
  const options = { device: trainingDevice(flags), maxTokens: flags.maxTokens };
  const { model, revision, offline } = flags;
  if (model !== undefined && flags.config === undefined) {
    return Encoder.load(await modelFolder({ model, revision, offline }, console), options);
  }
  if (model === undefined && flags.config !== undefined && flags.tokenizer !== undefined) {
    const fresh = { configPath: flags.config, tokenizerPath: flags.tokenizer, pooling: flags.pooling };
    return Encoder.fresh(fresh, flags.seed, options);
  }
  throw new XlembedError(
    'INVALID_ARGUMENT',
    'expected either --model, or --config and --tokenizer',
    'xlembed train --help',
  );
}

/** What the flags say of training. */
export function trainingOptions(flags: TrainFlags, datasets: Dataset[]): GivenTrainingOptions {
  const fallback = flags.model === undefined ? LEARNING_RATE.fresh : LEARNING_RATE.pretrained;
  return {
    ...engineOptions(flags),
    sampler: flags.sampler,
    alpha: flags.alpha,
    languageWeights: flags.languageWeights,
    languages: flags.languages,
    holdOut: flags.holdOut ?? [],
    languagePairs: flags.languagePairs ?? [],
    ...(datasets.length > 1 && { datasets }),
    oneDatasetPerBatch: flags.oneDatasetPerBatch ?? false,
    duplicates: flags.duplicates,
    inBatchNegatives: flags.inBatchNegatives,
    codeSwitching: codeSwitching(flags),
    batchSize: flags.batchSize,
    accumulate: flags.accumulate,
    steps: flags.steps,
    learningRate: flags.learningRate ?? fallback,
    warmupSteps: flags.warmupSteps,
    schedule: flags.schedule,
    weightDecay: flags.weightDecay,
    beta1: flags.betas[0],
    beta2: flags.betas[1],
    epsilon: flags.epsilon,
    maxGradientNorm: flags.maxGradientNorm,
    temperature: flags.temperature,
    symmetric: flags.symmetric ?? false,
    lossPrecision: flags.lossPrecision,
    dropout: flags.dropout,
    negatives: flags.negatives,
    negativeLanguage: flags.negativeLanguage,
    queryPrompt: flags.queryPrompt,
    passagePrompt: flags.passagePrompt,
    seed: flags.seed,
  };
}

function codeSwitching({
  lexicon: lexicons,
  codeSwitch,
  codeSwitchMode,
  switchQueriesTo,
  switchPassagesTo,
}: TrainFlags): TrainingOptions['codeSwitching'] {
  return (
    lexicons && {
      mode: codeSwitchMode,
      query: { probability: codeSwitch.query, languages: switchQueriesTo },
      passage: { probability: codeSwitch.passage, languages: switchPassagesTo },
      lexicons,
    }
  );
}
