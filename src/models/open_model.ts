import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { checkOptions, requirePath } from '../checked_options.js';
import { XlembedError } from '../errors.js';
import { restoreFolder } from '../files/write_folder.js';
import type { BackboneConfig, HeadModule, TensorSource, TransformerConfig } from '../native.js';
import { ADAPTER_CONFIG } from './adapter.js';
import { findTokenizer, noTokenizer } from './find_tokenizer.js';
import { type Head, readHead } from './head.js';
import type { JsonObject } from './json_file.js';
import { isLaserFolder, openLaser } from './laser.js';
import { headLayout, mapTensors, transformerLayout } from './layout.js';
import {
  type EncodingConfig,
  readEncodingConfig,
  readModules,
  readTextConfig,
  type Similarity,
} from './sentence_transformers.js';
import { canonicalTransformerName, checkUnknownTensors } from './tensor_names.js';
import { readModelMaxLength } from './tokenizer_files.js';
import { type HuggingFaceConfig, longestInput, readTransformerConfig } from './transformer_config.js';
import { readWeights } from './weights.js';

/** All that is needed to build an encoder, and to write it back. */
export interface ModelDescription {
  /** Where the model was read from; null for a fresh one. */
  folder: string | null;
  backbone: BackboneConfig;
  head: HeadModule[];
  /** By canonical name (layout.ts); empty for a fresh model. */
  sources: TensorSource[];
  /** tokenizer.json, or vocab.txt or sentencepiece.bpe.model where there is none; for LASER-2 its SentencePiece model. */
  tokenizerPath: string;
  /** LASER-2: piece -> id. null: the tokenizer has the ids. */
  dictionary: ReadonlyMap<string, number> | null;
  /** Texts are lower-cased before the tokenizer. */
  lowerCase: boolean;
  /** Tokens per input, special tokens included. */
  maxTokens: number;
  prompts: Record<string, string>;
  /** Name of the prompt for inputs of no particular role. */
  defaultPrompt: string | null;
  /** Pooling sees the tokens of a prompt; where it must not, a prompt is refused (prompts.ts). */
  includePrompt: boolean;
  similarity: Similarity;
  /** Hugging Face's model_type, or `laser2`. */
  modelType: string;
  /** Standard deviation of fresh weights. */
  initializerRange: number;
  /** What a user should know about how the model was read. */
  notes: string[];
  /** config.json as it stands. */
  hfConfig: JsonObject;
}

/**
 * Opens a model folder: a sentence-transformers folder, a plain Hugging Face one, or one with LASER-2. Reads headers and
 * configuration only, no weights. Throws FILE_NOT_FOUND, MODEL_INVALID, MODEL_UNSUPPORTED, TENSOR_MISSING,
 * TENSOR_SHAPE_MISMATCH, SAFETENSORS_INVALID, CHECKPOINT_INVALID, CHECKPOINT_REFUSED, TOKENIZER_INVALID.
 */
export async function openModel(folder: string): Promise<ModelDescription> {
  requirePath('folder', folder);
  await restoreFolder(folder);
  checkFolder(folder);
  if (isLaserFolder(folder)) return openLaser(folder);
  const modules = readModules(folder);
  const transformerFolder = modules?.[0]?.folder ?? folder;
  refuseAdapter(transformerFolder);
  const config = readTransformerConfig(join(transformerFolder, 'config.json'));
  const encoding = readEncodingConfig(folder);
  const hasPrompts = Object.values(encoding.prompts).some((prompt) => prompt !== '');
  const { hiddenSize } = config.transformer;
  const head = modules ? readHead(modules, hiddenSize, hasPrompts) : plainHead('mean', true, hiddenSize);
  const notes = modules ? [] : [`${folder} has no modules.json: mean pooling and L2 normalisation are used`];
  const weights = findSources(transformerFolder, config.transformer, head);
  const tokenizerPath = findTokenizer([transformerFolder, folder], config);
  const text = readTextConfig(transformerFolder);
  // The folder's own limit first, then the tokenizer's.
  const length = limitTokens([text.maxTokens, readModelMaxLength(transformerFolder)], config.transformer);
  return {
    folder,
    ...describe(config, head, encoding),
    sources: weights.sources,
    tokenizerPath,
    lowerCase: text.lowerCase,
    maxTokens: length.maxTokens,
    notes: [...notes, ...weights.notes, ...length.notes],
  };
}

export interface FreshModelOptions {
  /** A Hugging Face config.json. */
  configPath: string;
  /** A tokenizer.json. */
  tokenizerPath: string;
  /** Default `mean`. */
  pooling?: 'mean' | 'first' | undefined;
  /** L2 normalisation after pooling; default true. */
  normalize?: boolean | undefined;
  /** Default: the longest input that fits into the position table. */
  maxTokens?: number | undefined;
  prompts?: Record<string, string> | undefined;
  similarity?: Similarity | undefined;
}

const freshModel = z.strictObject({
  configPath: z.string(),
  tokenizerPath: z.string(),
  pooling: z.enum(['mean', 'first']).optional(),
  normalize: z.boolean().optional(),
  maxTokens: z.int().min(1).optional(),
  prompts: z.record(z.string(), z.string()).optional(),
  similarity: z.enum(['cosine', 'dot', 'euclidean', 'manhattan']).optional(),
});

/** Describes a model to be trained from scratch: no weights. Throws as openModel does. */
export function describeFreshModel(options: FreshModelOptions): ModelDescription {
  checkOptions(freshModel, options);
  const { configPath, tokenizerPath, pooling = 'mean', normalize = true, prompts = {} } = options;
  const config = readTransformerConfig(configPath);
  if (!existsSync(tokenizerPath)) throw noTokenizer(tokenizerPath);
  const head = plainHead(pooling, normalize, config.transformer.hiddenSize);
  const length = limitTokens([options.maxTokens], config.transformer);
  const encoding = { prompts, defaultPrompt: null, similarity: options.similarity ?? 'cosine' };
  return {
    folder: null,
    ...describe(config, head, encoding),
    sources: [],
    tokenizerPath,
    lowerCase: false,
    maxTokens: length.maxTokens,
    notes: length.notes,
  };
}

function describe(config: HuggingFaceConfig, head: Head, encoding: EncodingConfig) {
  return {
    backbone: { type: 'transformer' as const, ...config.transformer },
    dictionary: null,
    modelType: config.modelType,
    initializerRange: config.initializerRange,
    hfConfig: config.raw,
    head: head.modules,
    includePrompt: head.includePrompt,
    ...encoding,
  };
}

function plainHead(mode: 'mean' | 'first', normalize: boolean, dimensions: number): Head {
  const modules: HeadModule[] = [{ type: 'pool', modes: [mode] }];
  if (normalize) modules.push({ type: 'normalize' });
  return { modules, denseFolders: new Map(), dimensions, includePrompt: true };
}

function findSources(folder: string, transformer: TransformerConfig, head: Head) {
  const layout = transformerLayout(transformer);
  const tensors = readWeights(folder);
  const sources = mapTensors(layout, tensors, canonicalTransformerName);
  const notes = checkUnknownTensors(tensors, layout, transformer.layers);
  const wanted = [...headLayout(head.modules)];
  for (const [position, denseFolder] of head.denseFolders) {
    const prefix = `dense.${position}.`;
    const own = new Map(wanted.filter(([name]) => name.startsWith(prefix)));
    sources.push(...mapTensors(own, readWeights(denseFolder), (name) => prefix + name));
  }
  return { sources, notes };
}

function limitTokens(limits: (number | undefined)[], transformer: TransformerConfig) {
  const longest = longestInput(transformer);
  const wanted = limits.find((limit) => limit !== undefined) ?? longest;
  if (wanted <= longest) return { maxTokens: wanted, notes: [] };
  const note = `the limit of ${wanted} tokens exceeds the ${longest} positions of the model; ${longest} are used`;
  return { maxTokens: longest, notes: [note] };
}

/** transformers adds the adapter that lies in a folder to the weights that its configuration names. */
function refuseAdapter(folder: string): void {
  const path = join(folder, ADAPTER_CONFIG);
  if (!existsSync(path)) return;
  throw new XlembedError(
    'MODEL_UNSUPPORTED',
    `${path}: PEFT's adapters are not added to a model`,
    'merge it in Python: PeftModel.from_pretrained(AutoModel.from_pretrained(BASE), FOLDER).merge_and_unload().save_pretrained(OUT), with the tokenizer and the modules beside it',
  );
}

function checkFolder(folder: string): void {
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return;
  throw new XlembedError(
    'FILE_NOT_FOUND',
    `the model folder ${folder} does not exist`,
    'give the path of a folder',
  );
}
