import { z } from 'zod';
import { invalidArgument } from '../errors.js';
import type { LoraOptions } from '../models/adapter.js';
import type { BackboneConfig, NativeTrainerOptions } from '../native.js';

/** How a step is computed, and what it trains. */
export interface EngineOptions {
  /** kl_distillation and margin_mse learn a teacher's scores, which the records carry. */
  loss: 'info_nce' | 'triplet' | 'kl_distillation' | 'margin_mse';
  /** Of the triplet loss. */
  margin: number;
  /** kl_distillation: divides the teacher's scores. */
  teacherTemperature: number;
  /** info_nce: learn the temperature, with this factor on the learning rate of its logarithm; undefined: fixed. */
  temperatureRate?: number | undefined;
  /** The loss of the first d dimensions is summed over these d; undefined: all dimensions alone. */
  matryoshkaSizes?: number[] | undefined;
  /** One for each size; undefined: 1. */
  matryoshkaWeights?: number[] | undefined;
  /** Gradient cache: tokens in one forward pass; 0: the whole batch in one. */
  chunkTokens: number;
  /** Tokens whose graphs may be in memory at once, and need no second forward pass; 0: chunkTokens. */
  graphTokens: number;
  /** Train the mean of this layer's hidden states instead of the model's embeddings. */
  embeddingLayer?: number | undefined;
  recomputeActivations: boolean;
  precision: 'float32' | 'bfloat16' | 'float16';
  freezeEmbeddings: boolean;
  /** So many of the first layers stay as they are. */
  freezeLayers: number;
  /** Factor on the learning rate from each layer to the one before it. */
  layerDecay: number;
  /** Low-rank adapters, trained instead of the weights and merged into them at the end. */
  lora?: LoraOptions | undefined;
}

export const ENGINE_DEFAULTS: EngineOptions = {
  loss: 'info_nce',
  margin: 0.4,
  teacherTemperature: 1,
  chunkTokens: 0,
  graphTokens: 0,
  recomputeActivations: false,
  precision: 'float32',
  freezeEmbeddings: false,
  freezeLayers: 0,
  layerDecay: 1,
};

const positive = z.number().positive();
const count = z.int().min(0);

export const engineShape = {
  loss: z.enum(['info_nce', 'triplet', 'kl_distillation', 'margin_mse']),
  margin: z.number(),
  teacherTemperature: positive,
  temperatureRate: positive.optional(),
  matryoshkaSizes: z.array(z.int().min(1)).min(1).optional(),
  matryoshkaWeights: z.array(positive).min(1).optional(),
  chunkTokens: count,
  graphTokens: count,
  embeddingLayer: count.optional(),
  recomputeActivations: z.boolean(),
  precision: z.enum(['float32', 'bfloat16', 'float16']),
  freezeEmbeddings: z.boolean(),
  freezeLayers: count,
  layerDecay: positive.max(1),
  lora: z
    .strictObject({
      rank: z.int().min(1),
      alpha: positive,
      dropout: z.number().min(0).lt(1),
      targets: z.array(z.string().min(1)).min(1),
      layers: z.array(count),
    })
    .optional(),
};

/** Beginnings of the names of a backbone's parameters: of its embeddings, and of layer n. */
const PREFIXES: Record<
  BackboneConfig['type'],
  { embeddings: string; layer: (n: number) => readonly string[] }
> = {
  transformer: { embeddings: 'embeddings.', layer: (n) => [`encoder.layer.${n}.`] },
  lstm: {
    embeddings: 'embed_tokens.',
    layer: (n) => ['weight_ih', 'weight_hh', 'bias_ih', 'bias_hh'].map((name) => `lstm.${name}_l${n}`),
  },
};

/**
 * The learning rate of each layer, and which parameters are frozen, as the native trainer takes it: the last one that
 * fits counts, so that layer 1's do not go for layer 10. Throws INVALID_ARGUMENT where more layers are to be frozen than
 * there are.
 */
export function learningRateFactors(
  { freezeEmbeddings, freezeLayers, layerDecay }: EngineOptions,
  backbone: BackboneConfig,
): NonNullable<NativeTrainerOptions['learningRateFactors']> {
  const { layers } = backbone;
  if (freezeLayers > layers)
    throw invalidArgument('freezeLayers', `at most the ${layers} layers of the model`, freezeLayers);
  const { embeddings, layer } = PREFIXES[backbone.type];
  const factors = [{ prefix: embeddings, factor: freezeEmbeddings ? 0 : layerDecay ** layers }];
  for (let n = 0; n < layers; n++) {
    const factor = n < freezeLayers ? 0 : layerDecay ** (layers - 1 - n);
    factors.push(...layer(n).map((prefix) => ({ prefix, factor })));
  }
  return factors;
}
