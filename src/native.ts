import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { isMainThread } from 'node:worker_threads';
import { type ErrorCode, XlembedError } from './errors.js';
import type { NativeBenchmarkOptions, NativeKernelBenchmark } from './native/benchmark.js';
import { missingInstructions } from './native/built_for.js';
import type { NativeEncoder, NativeEncoderOptions } from './native/encoder.js';
import type {
  NativeProcessGroup,
  NativeProcessGroupOptions,
  NativeStore,
  NativeStoreOptions,
} from './native/processes.js';
import type { IndexStorage, NativeFaissIndex, NativeFlatIndex, SearchScan } from './native/search.js';
import type { NativeScriptModule, NativeTensor, TensorArray, TensorDtype } from './native/tensor.js';
import type { NativeTrainer, NativeTrainerOptions } from './native/trainer.js';
import { processorQuota, processors } from './processors.js';

export type * from './native/benchmark.js';
export type * from './native/encoder.js';
export type * from './native/processes.js';
export type * from './native/search.js';
export type * from './native/tensor.js';
export type * from './native/trainer.js';

export interface NativeInfo {
  libtorch: string;
  cuda: boolean;
  cudaDevices: number;
  threads: number;
  /** libtorch's, and the processor's matrix unit where it is used: 'AVX512, AMX'. */
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
const setupState = fileURLToPath(new URL('../build/xlembed-setup.json', import.meta.url));
let addon: NativeAddon | undefined;

/** Loads the addon once per thread. Throws ADDON_NOT_BUILT or ADDON_LOAD_FAILED with the remedy. */
export function loadNative(): NativeAddon {
  if (addon) return addon;
  if (!existsSync(addonPath)) {
    throw new XlembedError(
      'ADDON_NOT_BUILT',
      `the native addon is not built: there is no ${addonPath}`,
      'run: npx xlembed setup (a bundler must leave xlembed out)',
    );
  }
  const missing = missingInstructions(setupState);
  if (missing.length > 0) {
    throw new XlembedError(
      'ADDON_LOAD_FAILED',
      `the native addon was compiled for another processor: this one has no ${missing.join(', ')}`,
      'run on this machine: npx xlembed setup',
    );
  }
  // A waiting OpenMP thread must not spin on a core that tokenisation could use.
  process.env.OMP_WAIT_POLICY ??= 'passive';
  const threads = containerThreads();
  if (threads) process.env.OMP_NUM_THREADS = String(threads);
  try {
    addon = createRequire(import.meta.url)(addonPath) as NativeAddon;
  } catch (cause) {
    throw new XlembedError(
      'ADDON_LOAD_FAILED',
      `the native addon does not load: ${(cause as Error).message}`,
      (cause as NodeJS.ErrnoException).code === 'ERR_DLOPEN_DISABLED'
        ? 'start Node without --no-addons, and with --allow-addons and --allow-worker beside --permission'
        : 'libtorch may have moved; run: npx xlembed setup --force',
      { cause },
    );
  }
  // The environment of a worker thread is a copy, which OpenMP does not see.
  if (threads && !isMainThread) void addon.setThreads(threads);
  return addon;
}

/** OpenMP counts the machine's processors, also in a container that may use a few of them; undefined elsewhere. */
function containerThreads(): number | undefined {
  const isChosen = process.env.OMP_NUM_THREADS !== undefined;
  return isChosen || processorQuota() === Number.POSITIVE_INFINITY ? undefined : processors();
}

/** Version of this package. */
export function packageVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/** Native errors arrive as "CODE: message"; gives them back as coded errors, with `remedy` where the code has none. */
export async function nativeCall<T>(call: () => Promise<T>, remedy = ''): Promise<T> {
  try {
    return await call();
  } catch (cause) {
    throw codedNativeError(cause, remedy);
  }
}

/** The same for a call that returns its value at once. */
export function nativeValue<T>(call: () => T): T {
  try {
    return call();
  } catch (cause) {
    throw codedNativeError(cause);
  }
}

export function codedNativeError(cause: unknown, remedy = ''): XlembedError {
  if (cause instanceof XlembedError) return cause;
  const text = cause instanceof Error ? cause.message : String(cause);
  const match = /^([A-Z_]{4,}): ([\s\S]*)$/.exec(text);
  const [code, message] = match
    ? [match[1] as ErrorCode, match[2] as string]
    : (['NATIVE_FAILED', text] as const);
  return new XlembedError(code, message, hints[code] ?? remedy, { cause });
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
