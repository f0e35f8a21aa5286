/** Element types that tensors can have on disk and in memory. */
export type Dtype = 'float32' | 'float16' | 'bfloat16';

/**
 * What an encoder computes in. int8: linear layers in 8-bit integers, weights with a scale for each output, activations
 * with one for each token; for transformers on the CPU. Its weights stay float32 and are saved so.
 */
export type EncoderDtype = Dtype | 'int8';

/** Sequences laid end to end: B sequences, T tokens in all. */
export interface PackedSequences {
  /** (T) token ids. */
  inputIds: Int32Array;
  /** (B + 1) ascending, from 0 to T: sequence b is inputIds[cumulative[b] .. cumulative[b + 1]). */
  cumulativeSeqLengths: Int32Array;
}

/** Where one tensor's bytes lie. TypeScript has checked offset and length against file and shape. */
export interface TensorSource {
  name: string;
  path: string;
  /** Bytes from the start of the file. */
  offset: number;
  shape: number[];
  dtype: Dtype;
}

/** Where one tensor's bytes go: written in place into a file that exists. */
export interface TensorTarget {
  name: string;
  path: string;
  offset: number;
  dtype: Dtype;
}

export interface TransformerConfig {
  vocabularySize: number;
  hiddenSize: number;
  layers: number;
  heads: number;
  intermediateSize: number;
  maxPositions: number;
  /** 0 where there are none, as in DistilBERT. */
  tokenTypes: number;
  layerNormEpsilon: number;
  /** Position of the first token: 0 for BERT, padding_idx + 1 for XLM-R. */
  firstPosition: number;
  activation: 'gelu' | 'gelu_tanh' | 'relu';
  hiddenDropout: number;
  attentionDropout: number;
  /** hiddenDropout is also for what attention gives, before it is added to its input; not so in DistilBERT. */
  dropsAttentionOutput: boolean;
}

/** A stack of LSTMs over token embeddings (LASER-2). */
export interface LstmConfig {
  vocabularySize: number;
  embeddingSize: number;
  /** Of one direction. */
  hiddenSize: number;
  layers: number;
  bidirectional: boolean;
  /** Between layers, in training. */
  dropout: number;
}

/** What turns token ids into token vectors. */
export type BackboneConfig = ({ type: 'transformer' } & TransformerConfig) | ({ type: 'lstm' } & LstmConfig);

/** Token vectors -> one vector; native/core/pooling.h has the formulas. */
export type PoolMode = 'first' | 'max' | 'mean' | 'mean_sqrt_length' | 'weighted_mean' | 'last';

/** The vectors of several pooling modes are laid side by side. */
export type HeadModule =
  | { type: 'pool'; modes: PoolMode[] }
  | {
      type: 'dense';
      inFeatures: number;
      outFeatures: number;
      bias: boolean;
      activation: 'identity' | 'tanh' | 'gelu' | 'relu';
    }
  | { type: 'normalize' };

export interface NativeEncoderOptions {
  backbone: BackboneConfig;
  head: HeadModule[];
  /** Tensors by their canonical names (see models/layout.ts), or a seed for fresh weights. */
  weights: { sources: TensorSource[] } | { seed: number; initializerRange: number };
  device: string;
  dtype: EncoderDtype;
}

export interface ParameterInfo {
  name: string;
  shape: number[];
  dtype: Dtype;
}

/** native/core/lora.h has the formula. */
export interface NativeLoraOptions {
  rank: number;
  alpha: number;
  dropout: number;
  /** Modules by name, or by how it ends after a dot: query, attention.output.dense, dense. */
  targets: string[];
  /** Empty: all. */
  layers: number[];
  /** Of fresh adapters; default 0. */
  seed?: number | undefined;
  /** Trained ones instead. */
  sources?: TensorSource[] | undefined;
}

export interface NativeEncoder {
  /** (B, D) float32, row-major, in the order of the sequences. */
  encode(batch: PackedSequences): Promise<Float32Array>;
  /** D, the length of an embedding. */
  readonly dimensions: number;
  parameters(): ParameterInfo[];
  writeParameters(targets: TensorTarget[]): Promise<void>;
  /** All parameters anew, as of a checkpoint. Throws TENSOR_MISSING, TENSOR_SHAPE_MISMATCH, FILE_READ_FAILED. */
  readParameters(sources: TensorSource[]): Promise<void>;
  /**
   * Low-rank adapters, trained by a trainer made afterwards instead of the weights; encode() uses them. Throws
   * INVALID_ARGUMENT when the options name no module or there are adapters already, MODEL_UNSUPPORTED.
   */
  addAdapters(options: NativeLoraOptions): Promise<void>;
  /** <module>.lora_A.weight and <module>.lora_B.weight of each adapter. */
  adapterParameters(): Promise<ParameterInfo[]>;
  writeAdapters(targets: TensorTarget[]): Promise<void>;
  /** Adds the adapters to the weights and drops them; a trainer made with them must be gone. */
  mergeAdapters(): Promise<void>;
  /** Frees the weights once running work has ended; further calls fail with DISPOSED. */
  dispose(): void;
}
