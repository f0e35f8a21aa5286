import { type Command, InvalidArgumentError, Option } from 'commander';
import { ENGINE_DEFAULTS, type EngineOptions } from '../training/engine_options.js';
import { integer, list, number, parsed, positiveInteger } from './arguments.js';

export interface EngineFlags {
  loss: EngineOptions['loss'];
  margin: number;
  teacherTemperature: number;
  learnTemperature?: number;
  matryoshka?: { sizes: number[]; weights: number[] };
  chunkTokens: number;
  graphTokens: number;
  embeddingLayer?: number;
  recomputeActivations?: boolean;
  precision: EngineOptions['precision'];
  freezeEmbeddings?: boolean;
  freezeLayers: number;
  layerDecay: number;
  loraRank?: number;
  loraAlpha: number;
  loraDropout: number;
  loraTargets: string[];
  loraLayers?: number[];
}

/** Declares how `xlembed train` computes a step: loss, memory, precision, what is trained. */
export function declareEngine(command: Command): Command {
  const defaults = ENGINE_DEFAULTS;
  return command
    .addOption(
      new Option(
        '--loss <name>',
        "in-batch contrastive; triplets with the hardest negative of the batch; or a teacher's scores in the data, as distributions or as margins",
      )
        .choices(['info_nce', 'triplet', 'kl_distillation', 'margin_mse'])
        .default(defaults.loss),
    )
    .option('--margin <x>', 'of the triplet loss', number, defaults.margin)
    .option(
      '--teacher-temperature <t>',
      "kl_distillation: divides the teacher's scores",
      number,
      defaults.teacherTemperature,
    )
    .option(
      '--learn-temperature <factor>',
      'learn it, at the learning rate times this factor (100 is a start)',
      number,
    )
    .option(
      '--matryoshka <sizes>',
      'sum the loss over the first dimensions: 384,128,64, or with weights 384,128=0.5',
      sizes,
    )
    .option(
      '--chunk-tokens <n>',
      'gradient cache: tokens in one forward pass (0: whole batch)',
      integer,
      defaults.chunkTokens,
    )
    .option(
      '--graph-tokens <n>',
      'gradient cache: tokens that need no second forward pass (0: one chunk)',
      integer,
      defaults.graphTokens,
    )
    .option('--embedding-layer <k>', "train the mean of layer k's hidden states", integer)
    .option('--recompute-activations', 'less memory, one more forward pass: activation checkpointing')
    .addOption(
      new Option('--precision <type>', 'of activations and products; weights stay float32')
        .choices(['float32', 'bfloat16', 'float16'])
        .default(defaults.precision),
    )
    .option('--freeze-embeddings', 'leave the token embeddings as they are')
    .option('--freeze-layers <n>', 'leave the first n layers as they are', integer, defaults.freezeLayers)
    .option(
      '--layer-decay <x>',
      'factor on the learning rate from a layer to the one before it',
      number,
      defaults.layerDecay,
    )
    .option('--lora-rank <r>', 'train low-rank adapters instead of the weights', positiveInteger)
    .option('--lora-alpha <x>', 'their factor is alpha / rank', number, 32)
    .option('--lora-dropout <p>', 'on what goes into them', number, 0.05)
    .addOption(parsed('--lora-targets <modules>', 'by the end of their names', list, 'query,value'))
    .option('--lora-layers <layers>', 'such as 0-2 or 0,1,5 (default: all)', layers);
}

export function engineOptions(flags: EngineFlags): EngineOptions {
  return {
    loss: flags.loss,
    margin: flags.margin,
    temperatureRate: flags.learnTemperature,
    teacherTemperature: flags.teacherTemperature,
    matryoshkaSizes: flags.matryoshka?.sizes,
    matryoshkaWeights: flags.matryoshka?.weights,
    chunkTokens: flags.chunkTokens,
    graphTokens: flags.graphTokens,
    embeddingLayer: flags.embeddingLayer,
    recomputeActivations: flags.recomputeActivations ?? false,
    precision: flags.precision,
    freezeEmbeddings: flags.freezeEmbeddings ?? false,
    freezeLayers: flags.freezeLayers,
    layerDecay: flags.layerDecay,
    lora:
      flags.loraRank === undefined
        ? undefined
        : {
            rank: flags.loraRank,
            alpha: flags.loraAlpha,
            dropout: flags.loraDropout,
            targets: flags.loraTargets,
            layers: flags.loraLayers ?? [],
          },
  };
}

/** `384,128=0.5`: sizes, with weights other than 1. */
function sizes(text: string): { sizes: number[]; weights: number[] } {
  const parts = list(text).map((item) => item.split('='));
  return {
    sizes: parts.map(([size]) => positiveInteger(size!)),
    weights: parts.map(([, weight = '1']) => number(weight)),
  };
}

/** `0-2` or `0,1,5` */
function layers(text: string): number[] {
  return list(text).flatMap((item) => {
    const [, first, last] = /^(\d+)(?:-(\d+))?$/.exec(item) ?? [];
    const [from, to] = [Number(first), Number(last ?? first)];
    if (first === undefined || to < from)
      throw new InvalidArgumentError('Expected layers such as 0-2 or 0,1,5.');
    return Array.from({ length: to - from + 1 }, (_, k) => from + k);
  });
}
