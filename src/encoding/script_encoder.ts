import { statSync } from 'node:fs';
import { z } from 'zod';
import { batchByTokens } from '../batches/token_budget.js';
import { checkOptions, requirePath } from '../checked_options.js';
import { invalidArgument, XlembedError } from '../errors.js';
import {
  loadNative,
  type NativeScriptEmbeddingOptions,
  type NativeScriptModule,
  type NativeScriptValue,
  nativeCall,
  nativeValue,
} from '../native.js';
import { Tensor } from '../tensor.js';
import { pack, sequenceAt } from '../tokenizers/packed.js';
import { copiedTexts, TokenizerPool } from '../tokenizers/tokenizer_pool.js';
import type { Embeddings } from './encoder.js';

export interface ScriptEncoderOptions {
  /** `cpu` (default), `cuda` or `cuda:N`. */
  device?: string | undefined;
  /** Makes the weights constants of the program, which is then simplified; default true. */
  freeze?: boolean | undefined;
}

export interface ScriptEncodeOptions {
  tokenizer: TokenizerPool;
  /** Put before each text. */
  prompt?: string | undefined;
  /**
   * Which value of a dictionary, named tuple (name) or tuple (position) has the embeddings. Default: the tensor itself,
   * the first of a tuple, or `sentence_embedding`, else `last_hidden_state`, else `token_embeddings`.
   */
  output?: string | number | undefined;
  /** Of an output (B, L, D) over its real tokens; default mean. An output (B, D) takes none. */
  pooling?: 'mean' | 'first' | 'none' | undefined;
  /** Scale embeddings to length 1; default false. */
  normalize?: boolean | undefined;
  /** Fills short sequences; default: the tokenizer's own, else 0. */
  padId?: number | undefined;
  /** Tokens in one call, padding left out; default 8,192. */
  tokenBudget?: number | undefined;
}

const loadOptions = z.strictObject({ device: z.string(), freeze: z.boolean() }).partial();
const encodeOptions = z.strictObject({
  tokenizer: z.custom((value) => value instanceof TokenizerPool, 'what TokenizerPool.open gives'),
  prompt: z.string().optional(),
  output: z.unknown().optional(),
  pooling: z.enum(['mean', 'first', 'none']).optional(),
  normalize: z.boolean().optional(),
  padId: z.int().min(0).optional(),
  tokenBudget: z.int().min(1).optional(),
});

/** What a TorchScript method gives: a dictionary or a named tuple becomes an object, a list or a tuple an array. */
export type ScriptOutput =
  | Tensor
  | ScriptOutput[]
  | { [name: string]: ScriptOutput }
  | number
  | boolean
  | string
  | null;

const TOKEN_BUDGET = 8192;

/**
 * A scripted or traced encoder on a device: what `torch.jit.save` wrote. A TorchScript file is a program that runs with
 * the rights of this process, and libtorch does not harden its reader: load files from a source that you trust, and no
 * others. Calls run off the event loop, in their order.
 */
export class ScriptEncoder {
  private constructor(
    readonly native: NativeScriptModule,
    readonly path: string,
    readonly device: string,
  ) {}

  /**
   * Whatever device the module was traced or saved on, it computes on this one. Throws FILE_NOT_FOUND, SCRIPT_INVALID
   * for a file that is no TorchScript, DEVICE_UNAVAILABLE.
   */
  static async load(path: string, options: ScriptEncoderOptions = {}): Promise<ScriptEncoder> {
    requirePath('path', path);
    checkOptions(loadOptions, options);
    const { device = 'cpu', freeze = true } = options;
    if (!statSync(path, { throwIfNoEntry: false })?.isFile()) {
      throw new XlembedError(
        'FILE_NOT_FOUND',
        `there is no file ${path}`,
        'give the path of a TorchScript file',
      );
    }
    const native = await nativeCall(async () => loadNative().loadScriptModule({ path, device, freeze }));
    return new ScriptEncoder(native, path, device);
  }

  /** Methods that call() can name. Throws DISPOSED. */
  get methods(): readonly string[] {
    return nativeValue(() => this.native.methods);
  }

  /** Runs the module's forward. Throws what call() throws. */
  forward(...inputs: Tensor[]): Promise<ScriptOutput> {
    return this.call('forward', ...inputs);
  }

  /**
   * Runs a method without gradients; inputs are copied to the module's device. Throws SCRIPT_METHOD_MISSING,
   * INVALID_ARGUMENT for inputs that the method does not take, SCRIPT_FAILED for what it raises, MODEL_UNSUPPORTED for
   * an output that JavaScript has no value for, DISPOSED, OUT_OF_MEMORY.
   */
  async call(method: string, ...inputs: Tensor[]): Promise<ScriptOutput> {
    const wrong = inputs.findIndex((input) => !(input instanceof Tensor));
    if (wrong >= 0) throw invalidArgument(`inputs[${wrong}]`, 'a Tensor', inputs[wrong]);
    const handles = inputs.map((input) => input.native);
    return scriptOutput(await nativeCall(async () => this.native.call(method, handles)));
  }

  /**
   * Embeds texts: tokenises, sorts by length, pads each batch to (B, L) int64, runs `forward(input_ids, attention_mask)`
   * (by these names where the method has them, `token_type_ids` of zeros as well), pools and normalises as asked. Rows
   * are in the order of the texts. Throws what call() throws, and TOKENIZER_FAILED.
   */
  async encode(texts: readonly string[], options: ScriptEncodeOptions): Promise<Embeddings> {
    const own = copiedTexts(texts);
    checkOptions(encodeOptions, options);
    const { tokenizer, prompt = '', tokenBudget = TOKEN_BUDGET } = options;
    const tokens = await tokenizer.tokenize(prompt ? own.map((text) => prompt + text) : own);
    const sequences = own.map((_, row) => sequenceAt(tokens, row));
    const lengths = sequences.map((sequence) => sequence.length);
    const native = nativeOptions(options);
    let [data, dimensions] = [new Float32Array(0), 0];
    for (const batch of batchByTokens(lengths, tokenBudget)) {
      const packed = pack(batch.map((row) => sequences[row]!));
      const result = await nativeCall(async () => this.native.embed(packed, native));
      if (dimensions === 0) {
        dimensions = result.dimensions;
        data = new Float32Array(own.length * dimensions);
      }
      for (const [position, row] of batch.entries()) {
        const from = position * dimensions;
        data.set(result.embeddings.subarray(from, from + dimensions), row * dimensions);
      }
    }
    return {
      data,
      rows: own.length,
      dimensions,
      tokens: tokens.inputIds.length,
      truncated: tokens.truncated,
      replacedSurrogates: tokens.replacedSurrogates,
      empty: own.filter((text) => text === '').length,
    };
  }

  /** Frees the module once running work has ended; further calls fail with DISPOSED. */
  dispose(): void {
    this.native.dispose();
  }
}

function nativeOptions(options: ScriptEncodeOptions): NativeScriptEmbeddingOptions {
  const { tokenizer, output, pooling = '', normalize = false, padId = tokenizer.padId ?? 0 } = options;
  const isPlace = Number.isInteger(output) && (output as number) >= 0;
  if (output !== undefined && !isPlace && typeof output !== 'string') {
    throw invalidArgument('output', 'a name or a position', output);
  }
  return {
    outputName: typeof output === 'string' ? output : '',
    outputIndex: isPlace ? (output as number) : -1,
    pooling,
    normalize,
    padId,
  };
}

function scriptOutput(value: NativeScriptValue): ScriptOutput {
  if ('tensor' in value) return new Tensor(value.tensor);
  if ('items' in value) return value.items.map(scriptOutput);
  if ('value' in value) return value.value;
  return Object.fromEntries(value.entries.map(([name, entry]) => [name, scriptOutput(entry)]));
}
