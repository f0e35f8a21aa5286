import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { type ErrorCode, XlembedError } from './errors.js';

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
  tokenTypes: number;
  layerNormEpsilon: number;
  /** Position of the first token: 0 for BERT, padding_idx + 1 for XLM-R. */
  firstPosition: number;
  activation: 'gelu' | 'gelu_tanh' | 'relu';
  hiddenDropout: number;
  attentionDropout: number;
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

export type SearchScan = 'float32' | 'bfloat16' | 'int8';
export type IndexStorage = SearchScan | 'binary';

export interface NativeSearchResult {
  /** (Q, k) descending. */
  scores: Float32Array;
  /** (Q, k) row numbers in the index, -1 where the index holds fewer than k. */
  ids: Int32Array;
}

export interface NativeFlatIndex {
  readonly size: number;
  readonly dimensions: number;
  /** (rows, D) appended; ids count up in order of arrival. */
  add(vectors: Float32Array): Promise<void>;
  /** Takes these rows (ascending, each once) out; later rows move up. */
  remove(rows: Int32Array): Promise<void>;
  /** (count, D): the vectors from row `first` on. */
  vectors(first: number, count: number): Promise<Float32Array>;
  /** Equal scores by smaller row. With `rows` (ascending, each once) only among these. */
  search(queries: Float32Array, k: number, rows?: Int32Array): Promise<NativeSearchResult>;
  /**
   * The 1-based rank that each given row has in its query's full ranking (score descending, then row ascending).
   * Query q's rows are relevantIds[relevantOffsets[q] .. relevantOffsets[q + 1]).
   */
  ranks(queries: Float32Array, relevantIds: Int32Array, relevantOffsets: Int32Array): Promise<Int32Array>;
  dispose(): void;
}

export interface NativeFaissIndex {
  readonly size: number;
  readonly dimensions: number;
  readonly trained: boolean;
  readonly metric: 'inner_product' | 'l2';
  /** (rows, D) */
  train(vectors: Float32Array): Promise<void>;
  /** vectors (rows, D), labels (rows): whole numbers, each once. */
  add(vectors: Float32Array, labels: Float64Array): Promise<void>;
  /** How many were removed. */
  remove(labels: Float64Array): Promise<number>;
  labels(): Promise<Float64Array>;
  setParameter(name: string, value: number): Promise<void>;
  /** (Q, k) each: FAISS's own scores, labels -1 where fewer were found. */
  search(queries: Float32Array, k: number): Promise<{ scores: Float32Array; labels: Float64Array }>;
  write(path: string): Promise<void>;
  dispose(): void;
}

/** Element types of tensors in JavaScript's hands. */
export type TensorDtype = Dtype | 'float64' | 'int64' | 'int32' | 'int16' | 'int8' | 'uint8' | 'bool';

export type TensorArray =
  | Float32Array
  | Float64Array
  | BigInt64Array
  | Int32Array
  | Int16Array
  | Int8Array
  | Uint8Array;

export interface NativeTensor {
  readonly shape: number[];
  readonly dtype: TensorDtype;
  readonly device: string;
  /** Row-major; float16 and bfloat16 come as float32, bool as 0 and 1. */
  data(): Promise<TensorArray>;
  to(device: string, dtype: TensorDtype): Promise<NativeTensor>;
  dispose(): void;
}

/** A value that a TorchScript method gives; entries are those of a dictionary or a named tuple. */
export type NativeScriptValue =
  | { tensor: NativeTensor }
  | { items: NativeScriptValue[] }
  | { entries: [name: string, value: NativeScriptValue][] }
  | { value: number | boolean | string | null };

export interface NativeScriptEmbeddingOptions {
  /** Of a dictionary's or named tuple's value; empty: chosen by name or place (core/script_embedding.h). */
  outputName: string;
  /** Of a tuple's value; -1: none given. */
  outputIndex: number;
  /** Empty: mean where the output has one vector for each token. */
  pooling: 'mean' | 'first' | 'none' | '';
  normalize: boolean;
  padId: number;
}

export interface NativeScriptModule {
  readonly methods: string[];
  call(method: string, inputs: NativeTensor[]): Promise<NativeScriptValue>;
  /** embeddings: (B, dimensions), in the order of the sequences. */
  embed(
    batch: PackedSequences,
    options: NativeScriptEmbeddingOptions,
  ): Promise<{ embeddings: Float32Array; dimensions: number }>;
  dispose(): void;
}

export interface NativeBenchmarkOptions {
  /** copy, read, matmul or what native/addon/benchmark_case.h lists. */
  op: string;
  device: string;
  dtype: Dtype;
  /** The op's sizes by name, see native/addon/benchmark_case.h. */
  shape: Record<string, number>;
  /** Inputs taken in turn, so that small ones do not stay in a cache. */
  inputSets: number;
  seed: number;
}

/** One way of doing an op's work, and the least that it must move and compute. */
export interface NativeImplementation {
  name: string;
  bytes: number;
  operations: number;
  arithmetic: 'float32' | 'bfloat16' | 'int8';
}

/** One op on one shape, with inputs that stay where it runs. */
export interface NativeKernelBenchmark {
  readonly implementations: NativeImplementation[];
  /** Of a GPU; empty for the CPU. */
  readonly deviceName: string;
  /** Seconds that one call takes, over `repeats` in a row; the first call of a name also prepares it, untimed. */
  run(name: string, repeats: number): Promise<number>;
  /** |a - b| / |b| of two implementations' results on the same inputs. */
  difference(name: string, reference: string): Promise<number>;
  /** |a|, the Euclidean length of an implementation's results. */
  norm(name: string): Promise<number>;
  /** Bytes beside inputs and results that its runs on the CPU took at their peak; -1 where the system does not tell. */
  extraBytes(name: string): Promise<number>;
  dispose(): void;
}

/** Integers and texts that the processes of a job share (libtorch's TCPStore): one process serves, all connect. */
export interface NativeStore {
  readonly port: number;
  /** Adds to an integer that begins at 0, as one step for all processes; gives the sum. Fails with PROCESS_LOST. */
  add(key: string, amount: number): Promise<number>;
  /** Texts, each set once. Fail with PROCESS_LOST. */
  set(key: string, text: string): Promise<void>;
  /** undefined where the text is not there yet. */
  find(key: string): Promise<string | undefined>;
  /** Ends the connection, and the store where this process serves it. */
  dispose(): void;
}

export interface NativeStoreOptions {
  host: string;
  /** 0 with `serve`: one that is free. */
  port: number;
  /** This process holds the values. A client must know that the port answers (native/core/store.h). */
  serve: boolean;
  timeout_ms: number;
}

/** Processes that exchange tensors (native/core/process_group.h). */
export interface NativeProcessGroup {
  /** Ends the connections once running work has ended. */
  dispose(): void;
}

export interface NativeProcessGroupOptions {
  /** Tells groups over one store apart. */
  name: string;
  rank: number;
  size: number;
  /** cpu: Gloo; cuda:N: NCCL. */
  device: string;
  /** Gloo's network interface; empty: that of the machine's name. */
  interface: string;
  /** All processes are on this machine. */
  loopback: boolean;
  timeout_ms: number;
}

export interface NativeInfo {
  libtorch: string;
  cuda: boolean;
  cudaDevices: number;
  threads: number;
  cpuCapability: string;
  compiler: string;
  /** Version of FAISS; empty in a build without it. */
  faiss: string;
}

/** What build/Release/xlembed.node exports. */
export interface NativeAddon {
  info(): NativeInfo;
  /** Gives freed memory back to the system. */
  returnFreedMemory(): Promise<void>;
  setThreads(threads: number): Promise<void>;
  createEncoder(options: NativeEncoderOptions): Promise<NativeEncoder>;
  /** With a group all its processes take each step together. */
  createTrainer(
    encoder: NativeEncoder,
    options: NativeTrainerOptions,
    group?: NativeProcessGroup,
  ): Promise<NativeTrainer>;
  /** `scan`: what a search reads first; `storage`: what is kept of a vector: see search/flat_index.ts. */
  createFlatIndex(
    dimensions: number,
    device: string,
    scan: SearchScan,
    storage: IndexStorage,
  ): NativeFlatIndex;
  /** Over the float32 rows of a file from byte `offset` on, a multiple of 4. */
  mapFlatIndex(options: { path: string; offset: number; rows: number; dimensions: number }): NativeFlatIndex;
  createFaissIndex(dimensions: number, factory: string, metric: string): Promise<NativeFaissIndex>;
  loadFaissIndex(path: string, memoryMap: boolean): Promise<NativeFaissIndex>;
  /** Copies the array, whose bytes are the shape's in this dtype. */
  createTensor(array: TensorArray, shape: number[], dtype: TensorDtype): NativeTensor;
  createKernelBenchmark(options: NativeBenchmarkOptions): Promise<NativeKernelBenchmark>;
  openStore(options: NativeStoreOptions): Promise<NativeStore>;
  /** Returns when all processes have joined. Fails with PROCESS_LOST, DEVICE_UNAVAILABLE. */
  createProcessGroup(store: NativeStore, options: NativeProcessGroupOptions): Promise<NativeProcessGroup>;
  loadScriptModule(options: { path: string; device: string; freeze: boolean }): Promise<NativeScriptModule>;
}

const addonPath = fileURLToPath(new URL('../build/Release/xlembed.node', import.meta.url));
let addon: NativeAddon | undefined;

/** Loads the addon once per thread. Throws ADDON_NOT_BUILT or ADDON_LOAD_FAILED with the remedy. */
export function loadNative(): NativeAddon {
  if (addon) return addon;
  if (!existsSync(addonPath)) {
    throw new XlembedError('ADDON_NOT_BUILT', 'the native addon is not built', 'run: npx xlembed setup');
  }
  // A waiting OpenMP thread must not spin on a core that tokenisation could use.
  process.env.OMP_WAIT_POLICY ??= 'passive';
  try {
    addon = createRequire(import.meta.url)(addonPath) as NativeAddon;
  } catch (cause) {
    throw new XlembedError(
      'ADDON_LOAD_FAILED',
      `the native addon does not load: ${(cause as Error).message}`,
      'libtorch may have moved; run: npx xlembed setup --force',
      { cause },
    );
  }
  return addon;
}

/** Version of this package. */
export function packageVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/** Native errors arrive as "CODE: message"; gives them back as coded errors. */
export async function nativeCall<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (cause) {
    throw codedNativeError(cause);
  }
}

export function codedNativeError(cause: unknown): XlembedError {
  if (cause instanceof XlembedError) return cause;
  const text = cause instanceof Error ? cause.message : String(cause);
  const match = /^([A-Z_]{4,}): ([\s\S]*)$/.exec(text);
  const [code, message] = match
    ? [match[1] as ErrorCode, match[2] as string]
    : (['NATIVE_FAILED', text] as const);
  return new XlembedError(code, message, hints[code] ?? '', { cause });
}

const hints: Partial<Record<ErrorCode, string>> = {
  DEVICE_UNAVAILABLE: 'use device "cpu", or run: npx xlembed doctor',
  FAISS_UNAVAILABLE: 'run: apt-get install libfaiss-dev, then: npx xlembed setup',
  INDEX_READ_ONLY: 'load it without memoryMap',
  DISPOSED: 'this handle was disposed; create a new one',
  SCRIPT_INVALID: 'write the file with torch.jit.save, or with torch.jit.trace(...).save(...)',
  SCRIPT_METHOD_MISSING: 'mark the method with @torch.jit.export before scripting',
  PROCESS_LOST: 'what is finished is kept: start the job again with resume',
  OUT_OF_MEMORY: 'use a smaller batch or token budget',
  TENSOR_MISSING: 'the weights do not belong to this configuration',
  TENSOR_SHAPE_MISMATCH: 'the weights do not belong to this configuration',
};
