import { z } from 'zod';
import { checkOptions, functionSchema, requirePath } from '../checked_options.js';
import type { TextInput } from '../datasets/texts.js';
import { invalidArgument, XlembedError } from '../errors.js';
import { isNormalizing } from '../models/head.js';
import { hubShape } from '../models/hub/settings.js';
import { type HubOptions, resolveModel } from '../models/hub.js';
import {
  describeFreshModel,
  type FreshModelOptions,
  type ModelDescription,
  openModel,
} from '../models/open_model.js';
import { defaultPromptOf, pooledPrompt, promptFor, type Role } from '../models/prompts.js';
import { saveModel } from '../models/save_model.js';
import {
  type EncoderDtype,
  loadNative,
  type NativeEncoder,
  type NativeEncoderOptions,
  nativeCall,
} from '../native.js';
import { mapAhead } from '../scheduling/read_ahead.js';
import { charactersPerToken } from '../tokenizers/long_text.js';
import { copiedTexts, TokenizerPool } from '../tokenizers/tokenizer_pool.js';
import { type CorpusManifest, type CorpusOptions, encodeCorpus } from './corpus/encode_corpus.js';
import { shortened } from './corpus/precision.js';
import { defaultTokenBudget, encodeSequences, TokenBudget } from './encode_sequences.js';
import { windowsOf } from './windows.js';

export interface EncoderOptions {
  /** `cpu` (default), `cuda` or `cuda:N`. */
  device?: string | undefined;
  /** Of weights and arithmetic; default float32. int8 is for the CPU. Embeddings are float32 in any case. */
  dtype?: EncoderDtype | undefined;
  /** Texts tokenised at a time; default: the number of processors. The first tokenizer of a process decides for all. */
  tokenizerThreads?: number | undefined;
  /** Tokens kept of each text, special tokens included; default and upper limit: the model's own. */
  maxTokens?: number | undefined;
}

/** Where a model that is no local folder comes from: `revision`, `offline` and more. */
export type LoadOptions = EncoderOptions & HubOptions;

export interface EncodeOptions {
  /** Applies the model's stored prompt for the role; without a role its default prompt, if it names one. */
  role?: Role | undefined;
  /** Put before each text instead of the stored prompt. */
  prompt?: string | undefined;
  /** Scale embeddings to length 1, where the model does not do so itself; default false. */
  normalize?: boolean | undefined;
  /** Tokens in one native call; default 8,192. */
  tokenBudget?: number | undefined;
  /** Called as texts are done. */
  onProgress?: ((done: number, total: number) => void) | undefined;
}

const encodeOptions = z.strictObject({
  role: z.enum(['query', 'passage']).optional(),
  prompt: z.string().optional(),
  normalize: z.boolean().optional(),
  tokenBudget: z.int().min(1).optional(),
  onProgress: functionSchema.optional(),
});

/** What the parts that read them do not check. */
const encoderShape = {
  device: z.unknown(),
  dtype: z.unknown(),
  tokenizerThreads: z.unknown(),
  maxTokens: z.unknown(),
};
const encoderOptions = z.strictObject(encoderShape).partial();
const loadOptions = z.strictObject({ ...encoderShape, ...hubShape }).partial();
const promptOptions = encodeOptions.pick({ role: true, prompt: true }).loose();
const saveOptions = z.strictObject({
  overwrite: z.boolean().optional(),
  prompts: z.record(z.string(), z.string()).optional(),
});

/** What happened to texts on their way in. */
export interface TextCounts {
  /** Cut to the model's longest input. */
  truncated: number;
  /** Lone surrogates replaced by U+FFFD. */
  replacedSurrogates: number;
  /** Texts without a character; they get the embedding of the special tokens alone. */
  empty: number;
}

export interface Embeddings extends TextCounts {
  /** (rows, dimensions) float32, row-major, in the order of the texts. */
  data: Float32Array;
  rows: number;
  dimensions: number;
  /** Tokens encoded, special tokens included. */
  tokens: number;
}

/**
 * A model on a device, with its tokenizer. Texts in, embeddings out; the heavy work runs on native threads, the
 * calls of one encoder and device run in order.
 */
export class Encoder {
  readonly model: ModelDescription;
  readonly native: NativeEncoder;
  readonly tokenizer: TokenizerPool;
  readonly device: string;
  readonly dtype: EncoderDtype;
  /** Length of an embedding. */
  readonly dimensions: number;
  #isDisposed = false;

  private constructor(
    model: ModelDescription,
    native: NativeEncoder,
    tokenizer: TokenizerPool,
    options: EncoderOptions,
  ) {
    this.model = model;
    this.native = native;
    this.tokenizer = tokenizer;
    this.device = options.device ?? 'cpu';
    this.dtype = options.dtype ?? 'float32';
    this.dimensions = native.dimensions;
  }

  /**
   * Opens a sentence-transformers or Hugging Face folder, or `owner/name[@revision]` of the hub. Throws what
   * resolveModel and openModel throw, TOKENIZER_INVALID, VOCABULARY_MISMATCH, DEVICE_UNAVAILABLE, ADDON_NOT_BUILT.
   */
  static async load(nameOrFolder: string, options: LoadOptions = {}): Promise<Encoder> {
    checkOptions(loadOptions, options);
    // Whatever it lacks is said before gigabytes are fetched.
    loadNative();
    const model = await openModel(await resolveModel(nameOrFolder, options));
    return Encoder.#create(model, { sources: model.sources }, options);
  }

  /** A model with random weights, N(0, initializer_range): the same weights for the same seed, from 0 to 2^53 - 1. */
  static async fresh(model: FreshModelOptions, seed: number, options: EncoderOptions = {}): Promise<Encoder> {
    if (!Number.isSafeInteger(seed) || seed < 0)
      throw invalidArgument('seed', 'an integer from 0 to 2^53 - 1', seed);
    checkOptions(encoderOptions, options);
    const description = describeFreshModel(model);
    return Encoder.#create(description, { seed, initializerRange: description.initializerRange }, options);
  }

  static async #create(
    model: ModelDescription,
    weights: NativeEncoderOptions['weights'],
    options: EncoderOptions,
  ): Promise<Encoder> {
    const { device = 'cpu', dtype = 'float32' } = options;
    const addon = loadNative();
    const maxTokens = Math.min(model.maxTokens, options.maxTokens ?? model.maxTokens);
    const tokenizer = await TokenizerPool.open(model.tokenizerPath, {
      maxTokens,
      threads: options.tokenizerThreads,
      lowerCase: model.lowerCase,
      laserDictionary: model.dictionary,
    });
    try {
      checkVocabulary(model, tokenizer);
      const { backbone, head } = model;
      const native = await nativeCall(() => addon.createEncoder({ backbone, head, weights, device, dtype }));
      return new Encoder({ ...model, maxTokens }, native, tokenizer, options);
    } catch (error) {
      await tokenizer.close();
      throw error;
    }
  }

  /** The prompt that encode() puts before each text. Throws MODEL_UNSUPPORTED for one that must not be pooled. */
  promptOf(options: Pick<EncodeOptions, 'role' | 'prompt'>): string {
    checkOptions(promptOptions, options);
    const { prompt, role } = options;
    const stored = role ? promptFor(this.model, role) : defaultPromptOf(this.model);
    return pooledPrompt(this.model, prompt ?? stored);
  }

  /**
   * Embeds texts. An embedding does not depend on the texts beside it. Throws INVALID_ARGUMENT, DISPOSED,
   * OUT_OF_MEMORY.
   */
  async encode(texts: readonly string[], options: EncodeOptions = {}): Promise<Embeddings> {
    const own = copiedTexts(texts);
    checkOptions(encodeOptions, options);
    if (this.#isDisposed) throw new XlembedError('DISPOSED', 'this encoder was disposed', 'load it again');
    const { dimensions } = this;
    const prompt = this.promptOf(options);
    const result: Embeddings = {
      data: new Float32Array(own.length * dimensions),
      rows: own.length,
      dimensions,
      tokens: 0,
      truncated: 0,
      replacedSurrogates: 0,
      empty: 0,
    };
    // The next window is tokenised while this one is encoded. What lies behind the tokens that are kept hardly counts.
    const windows = mapAhead(
      windowsOf(own, charactersPerToken * this.tokenizer.maxTokens),
      async (window) => ({
        first: window.first,
        tokens: await this.tokenizer.tokenize(
          prompt ? window.texts.map((text) => prompt + text) : window.texts,
        ),
        empty: window.texts.filter((text) => text === '').length,
      }),
      1,
    );
    const { tokenBudget = defaultTokenBudget(this.device), onProgress } = options;
    const toLengthOne = options.normalize === true && !isNormalizing(this.model.head);
    let done = 0;
    const onBatch = (sequences: number, tokens: number) => {
      done += sequences;
      result.tokens += tokens;
      onProgress?.(done, result.rows);
    };
    for await (const { first, tokens, empty } of windows) {
      const budget = new TokenBudget(tokenBudget);
      const vectors = await encodeSequences(this.native, tokens, budget, onBatch);
      result.data.set(shortened(vectors, dimensions, dimensions, toLengthOne), first * dimensions);
      result.truncated += tokens.truncated;
      result.replacedSurrogates += tokens.replacedSurrogates;
      result.empty += empty;
    }
    return result;
  }

  /**
   * Embeds a corpus of any size into a folder of shards (corpus/encode_corpus.ts): memory stays flat, an interrupted
   * run resumes, and several processes under torchrun share the work. Throws what reading and encoding throw,
   * FILE_EXISTS, FILE_WRITE_FAILED, RESUME_REFUSED, DUPLICATE_ID, PROCESS_LOST.
   */
  encodeCorpus(input: TextInput, folder: string, options: CorpusOptions = {}): Promise<CorpusManifest> {
    return encodeCorpus(this, input, folder, options);
  }

  /**
   * Writes a sentence-transformers folder, with the model's prompts unless others are given. Throws FILE_EXISTS,
   * FILE_WRITE_FAILED, DISPOSED.
   */
  async save(
    folder: string,
    options: { overwrite?: boolean | undefined; prompts?: Record<string, string> | undefined } = {},
  ): Promise<void> {
    requirePath('folder', folder);
    checkOptions(saveOptions, options);
    const prompts = options.prompts ?? this.model.prompts;
    return saveModel({ ...this.model, prompts }, this.native, folder, {
      overwrite: options.overwrite ?? false,
    });
  }

  /**
   * Frees the weights and ends the tokenizer's threads, as the garbage collector does some time after the last reference
   * has gone. What is not yet done of running calls ends with DISPOSED.
   */
  async dispose(): Promise<void> {
    this.#isDisposed = true;
    this.native.dispose();
    await this.tokenizer.close();
  }
}

function checkVocabulary(model: ModelDescription, tokenizer: TokenizerPool): void {
  const { vocabularySize } = model.backbone;
  if (tokenizer.vocabularySize <= vocabularySize) return;
  throw new XlembedError(
    'VOCABULARY_MISMATCH',
    `the tokenizer ${model.tokenizerPath} has ${tokenizer.vocabularySize} ids, the model ${vocabularySize} embeddings`,
    'take the tokenizer that belongs to the model, or set vocab_size in config.json',
  );
}
