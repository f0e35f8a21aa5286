import { existsSync } from 'node:fs';
import { copyFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { XlembedError } from '../errors.js';
import type { LstmConfig, TensorSource } from '../native.js';
import { type JsonObject, parseFields, readJsonObject } from './json_file.js';
import {
  countDifferences,
  type Dictionary,
  parseDictionary,
  readCvocab,
  readDictionaryJson,
} from './laser_dictionary.js';
import { lstmLayout, mapTensors } from './layout.js';
import type { ModelDescription } from './open_model.js';
import { readSafetensorsHeader } from './safetensors.js';
import { SIMILARITIES, unsupported } from './sentence_transformers.js';
import type { StoredTensor } from './stored_tensor.js';
import { readTorchCheckpoint, stateDictTensors } from './torch_checkpoint.js';

/** LASER-2 (https://github.com/facebookresearch/LASER) as published, and in a folder of our own: docs/models-laser2.md. */
const MODEL_TYPE = 'laser2';

/** LASER itself has no limit; this one keeps a text from taking all memory. */
const DEFAULT_MAX_TOKENS = 4096;

/** LASER puts nothing before a text, whatever its role. */
const NO_PROMPTS = { query: '', passage: '' };

const count = z.int().positive();

// `params` of the published checkpoint, with the defaults of laser_encoders' LaserLstmEncoder.
const SIZES = z.object({
  num_embeddings: count,
  padding_idx: z.int().nonnegative().default(1),
  embed_dim: count.default(320),
  hidden_size: count.default(512),
  num_layers: count.default(1),
  bidirectional: z.boolean().default(false),
});

const CONFIG = SIZES.extend({
  dropout: z.number().min(0).lt(1).default(0),
  max_tokens: z.int().min(2).default(DEFAULT_MAX_TOKENS),
  similarity: z.enum(SIMILARITIES).default('cosine'),
  prompts: z.record(z.string(), z.string()).default(NO_PROMPTS),
});

/** What both kinds of folder say. */
interface Parts {
  config: z.infer<typeof CONFIG>;
  tensors: StoredTensor[];
  dictionary: Dictionary;
  sentencePiecePath: string;
  notes: string[];
  raw: JsonObject;
}

export function isLaserFolder(folder: string): boolean {
  if (existsSync(join(folder, 'laser2.pt'))) return true;
  const path = join(folder, 'config.json');
  return existsSync(path) && isLaserConfig(readJsonObject(path));
}

export function isLaserConfig(raw: JsonObject): boolean {
  return raw.model_type === MODEL_TYPE;
}

/**
 * Opens a folder for which isLaserFolder() holds, without touching a weight. Throws FILE_NOT_FOUND, MODEL_INVALID,
 * MODEL_UNSUPPORTED, TENSOR_MISSING, TENSOR_SHAPE_MISMATCH, SAFETENSORS_INVALID, CHECKPOINT_INVALID,
 * CHECKPOINT_REFUSED.
 */
export function openLaser(folder: string): ModelDescription {
  const published = existsSync(join(folder, 'laser2.pt'));
  const { config, tensors, dictionary, sentencePiecePath, notes, raw } = published
    ? readPublished(folder)
    : readOwn(folder);
  const lstm = lstmConfig(config);
  return {
    folder,
    backbone: { type: 'lstm', ...lstm },
    head: [{ type: 'pool', modes: ['max'] }],
    sources: findSources(lstm, tensors),
    tokenizerPath: existing(sentencePiecePath),
    dictionary,
    lowerCase: false,
    maxTokens: config.max_tokens,
    prompts: config.prompts,
    defaultPrompt: null,
    includePrompt: true,
    similarity: config.similarity,
    modelType: MODEL_TYPE,
    initializerRange: 0.02,
    notes,
    hfConfig: raw,
  };
}

function readPublished(folder: string): Parts {
  const path = join(folder, 'laser2.pt');
  const checkpoint = readTorchCheckpoint(path);
  const part = (name: string) => (checkpoint instanceof Map ? (checkpoint.get(name) as unknown) : undefined);
  const params = part('params');
  const raw = params instanceof Map ? fieldsOf(params) : params;
  const config = parseFields(CONFIG, parseFields(SIZES, raw, `${path}: params`), path);
  const cvocab = readCvocab(join(folder, 'laser2.cvocab'));
  const notes: string[] = [];
  const own = part('dictionary');
  if (own === undefined) {
    existing(join(folder, 'laser2.cvocab'));
    notes.push(`${path} has no dictionary: laser2.cvocab is used`);
  }
  const dictionary = parseDictionary(own ?? cvocab, path, config.num_embeddings);
  const different = cvocab ? countDifferences(dictionary, cvocab) : 0;
  if (different > 0) {
    notes.push(`laser2.cvocab and ${path} differ in ${different} pieces: the checkpoint's ids are used`);
  }
  const tensors = stateDictTensors(part('model'), path);
  return { config, tensors, dictionary, sentencePiecePath: join(folder, 'laser2.spm'), notes, raw: {} };
}

function fieldsOf(params: ReadonlyMap<unknown, unknown>): JsonObject {
  return Object.fromEntries([...params].filter(([name]) => typeof name === 'string'));
}

function readOwn(folder: string): Parts {
  const path = join(folder, 'config.json');
  const raw = readJsonObject(path);
  const config = parseFields(CONFIG, raw, path);
  const dictionary = readDictionaryJson(join(folder, 'dictionary.json'), config.num_embeddings);
  const { tensors } = readSafetensorsHeader(join(folder, 'model.safetensors'));
  return {
    config,
    tensors,
    dictionary,
    sentencePiecePath: join(folder, 'sentencepiece.model'),
    notes: [],
    raw,
  };
}

function lstmConfig(config: z.infer<typeof CONFIG>): LstmConfig {
  return {
    vocabularySize: config.num_embeddings,
    embeddingSize: config.embed_dim,
    hiddenSize: config.hidden_size,
    layers: config.num_layers,
    bidirectional: config.bidirectional,
    dropout: config.dropout,
  };
}

function findSources(config: LstmConfig, tensors: readonly StoredTensor[]): TensorSource[] {
  const layout = lstmLayout(config);
  // A layer more than the configuration says computes something else.
  const unknown = tensors.find(({ name }) => !layout.has(name));
  if (unknown) throw unsupported(unknown.path, 'a tensor', unknown.name, ['those of LASER-2']);
  return mapTensors(layout, tensors, (name) => name);
}

function existing(path: string): string {
  if (existsSync(path)) return path;
  throw new XlembedError('FILE_NOT_FOUND', `${path} does not exist`, 'fetch the whole model');
}

/** All of our own folder but the weights. Throws MODEL_UNSUPPORTED for a head that LASER-2 does not have. */
export async function writeLaserFiles(model: ModelDescription, folder: string): Promise<void> {
  const { backbone, dictionary } = model;
  const [pool, ...more] = model.head;
  if (
    backbone.type !== 'lstm' ||
    !dictionary ||
    pool?.type !== 'pool' ||
    pool.modes.join() !== 'max' ||
    more.length > 0
  ) {
    throw unsupported(folder, 'the head', model.head, ['max pooling alone']);
  }
  await writeJson(join(folder, 'config.json'), {
    ...model.hfConfig,
    model_type: MODEL_TYPE,
    num_embeddings: backbone.vocabularySize,
    padding_idx: dictionary.get('<pad>'),
    embed_dim: backbone.embeddingSize,
    hidden_size: backbone.hiddenSize,
    num_layers: backbone.layers,
    bidirectional: backbone.bidirectional,
    dropout: backbone.dropout,
    max_tokens: model.maxTokens,
    similarity: model.similarity,
    prompts: model.prompts,
  });
  await writeJson(join(folder, 'dictionary.json'), Object.fromEntries(dictionary));
  await copyFile(model.tokenizerPath, join(folder, 'sentencepiece.model'));
}

async function writeJson(path: string, value: unknown): Promise<void> {
  await writeFile(path, `${JSON.stringify(value, null, 2)}\n`);
}
