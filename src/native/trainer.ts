import type { Dtype, PackedSequences, ParameterInfo, TensorSource, TensorTarget } from './encoder.js';

export interface NativeTrainerOptions {
  temperature: number;
  symmetric: boolean;
  /** Of info_nce's matrix products; float32 unless given. */
  lossPrecision?: 'float32' | 'bfloat16';
  weightDecay: number;
  beta1: number;
  beta2: number;
  epsilon: number;
  /** Largest L2 norm of the whole gradient; 0 leaves it as it is. */
  maxGradientNorm: number;
  dropout: boolean;
  seed: number;
  /** Scale embeddings to length 1 before the loss: cosine similarity for a head that does not normalise. */
  normalize: boolean;
  /** Default info_nce; native/core/{info_nce,triplet,distillation}.h have the formulas. */
  loss?: 'info_nce' | 'triplet' | 'kl_distillation' | 'margin_mse' | undefined;
  /** info_nce: learn the temperature, with this factor on the learning rate of its logarithm. */
  temperatureRate?: number | undefined;
  /** info_nce and triplet: passages of which languages, seen from the query's, are negatives; default any. */
  negativeLanguages?: 'any' | 'same' | 'other' | undefined;
  /** Of the triplet loss; default 0.4. */
  margin?: number | undefined;
  /** kl_distillation: divides the teacher's scores; default 1. */
  teacherTemperature?: number | undefined;
  /** The loss of the first d dimensions, for each of these d, is summed under the weights (default 1 each). */
  matryoshkaSizes?: number[] | undefined;
  matryoshkaWeights?: number[] | undefined;
  /** Gradient cache: tokens in one forward pass; default 0, the whole batch in one. */
  chunkTokens?: number | undefined;
  /** Tokens whose graphs may be in memory at once, which saves them a second forward pass; default chunkTokens. */
  graphTokens?: number | undefined;
  /** Train the mean of the hidden states after this layer (0: of the embeddings) and nothing beyond it. */
  embeddingLayer?: number | undefined;
  /** Keep each layer's input alone for the backward pass and run the layer again there. */
  recomputeActivations?: boolean | undefined;
  /** Of activations and products, with loss scaling for float16; weights and sums stay float32. */
  precision?: Dtype | undefined;
  /** Factors on the learning rate by the beginning of a parameter's name; the last that fits counts; 0: frozen. */
  learningRateFactors?: { prefix: string; factor: number }[] | undefined;
}

/** Queries first, then passages: passage i answers query i, passages beyond the queries are extra negatives. */
export interface NativeTrainingBatch extends PackedSequences {
  queries: number;
  step: number;
  learningRate: number;
  /** (queries) at least 0: the loss is the mean under these weights. */
  rowWeights?: Float32Array | undefined;
  /** (passages): a passage of the group (at least 0) of a query's own passage is no negative of that query. */
  passageGroups?: Int32Array | undefined;
  /** (queries) and (passages), for negativeLanguages. */
  queryLanguages?: Int32Array | undefined;
  passageLanguages?: Int32Array | undefined;
  /** (queries, passages), NaN where the teacher gave no score. */
  teacherScores?: Float32Array | undefined;
  /** Factor on the loss, default 1: 1 / n when the gradients of n batches are added up. */
  weight?: number | undefined;
  /** False: keep the gradient for the next batch instead of updating the weights; default true. */
  update?: boolean | undefined;
  /**
   * In a process group: queries and passages of the whole batch; this process then gives its share of each (see
   * shareOf in src/training/share.ts), teacherScores with a column for each passage of the whole batch.
   */
  allQueries?: number | undefined;
  allPassages?: number | undefined;
  /** Anything that is to be added up over the processes. */
  counts?: number[] | undefined;
}

export interface NativeStepResult {
  loss: number;
  /** Share of queries whose own passage scored highest. */
  accuracy: number;
  /** Before clipping. */
  gradientNorm: number;
  /** True when loss or gradient was not finite: this batch changed nothing. */
  skipped: boolean;
  /** Forward passes that the batch was cut into. */
  chunks: number;
  /** The token budget used: below the option once memory ran out; 0: no limit. */
  chunkTokens: number;
  /** Of the loss, after the step; 0 where it has none. */
  temperature: number;
  /** Of gradients in float16, else 1. */
  lossScale: number;
  /** Those of the batch, summed over the processes. */
  counts: number[];
  modelSeconds: number;
  lossSeconds: number;
  optimizerSeconds: number;
}

/** What a trainer needs, beside the encoder's weights, to go on as if it had never stopped. */
export interface NativeTrainerState {
  /** Those that exist so far: a moment comes with its parameter's first step. */
  tensors: ParameterInfo[];
  counters: Record<string, number>;
}

export interface NativeTrainer {
  step(batch: NativeTrainingBatch): Promise<NativeStepResult>;
  /** The loss alone, without dropout and without a gradient. */
  evaluate(batch: NativeTrainingBatch): Promise<NativeStepResult>;
  state(): Promise<NativeTrainerState>;
  writeState(targets: TensorTarget[]): Promise<void>;
  /** A text that differs where weights, adapters or what the loss has learnt differ. */
  fingerprint(): Promise<string>;
  /**
   * All tensors and counters of a state that was written. Throws TENSOR_MISSING, TENSOR_SHAPE_MISMATCH or
   * INVALID_ARGUMENT when it is not one of such a trainer.
   */
  readState(sources: TensorSource[], counters: Record<string, number>): Promise<void>;
  dispose(): void;
}
