import type { Dtype } from './encoder.js';

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
  arithmetic: 'float32' | 'bfloat16' | 'int16' | 'int8';
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
