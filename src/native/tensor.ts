import type { Dtype, PackedSequences } from './encoder.js';

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
