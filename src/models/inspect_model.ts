import { readdirSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { BackboneConfig, Dtype, HeadModule } from '../native.js';
import { loadLaserTokenizer, loadTokenizer } from '../tokenizers/load_tokenizer.js';
import { snapshotCommit } from './hub.js';
import { hiddenSizeOf, outputDimensions } from './layout.js';
import { type ModelDescription, openModel } from './open_model.js';
import { promptFor } from './prompts.js';
import type { Similarity } from './sentence_transformers.js';
import { elementCount } from './stored_tensor.js';

export interface FileSize {
  /** From the model's folder. */
  path: string;
  bytes: number;
}

export interface ModelInspection {
  folder: string;
  /** Of a folder in the hub's cache. */
  commit: string | null;
  /** Hugging Face's model_type, or `laser2`. */
  modelType: string;
  backbone: BackboneConfig;
  head: HeadModule[];
  /** Length of an embedding. */
  dimensions: number;
  /** Numbers in the tensors that are used, the head's included. */
  parameters: number;
  /** Of these tensors on disk. */
  dtypes: Partial<Record<Dtype, { tensors: number; parameters: number; bytes: number }>>;
  tokenizer: { path: string; kind: string; vocabularySize: number };
  /** Tokens per input, special tokens included. */
  maxTokens: number;
  prompts: Record<string, string>;
  defaultPrompt: string | null;
  /** What is put before inputs of a role. */
  usedPrompts: { query: string; passage: string };
  similarity: Similarity;
  /** The files whose tensors are used. */
  weights: FileSize[];
  /** All files of the folder and its modules. */
  files: FileSize[];
  notes: string[];
}

const BYTES: Record<Dtype, number> = { float32: 4, float16: 2, bfloat16: 2 };

/** What a model folder holds and what would be used of it; reads no weights. Throws as openModel and loadTokenizer do. */
export async function inspectModel(folder: string): Promise<ModelInspection> {
  const model = await openModel(folder);
  const { modelType, backbone, head, maxTokens, prompts, defaultPrompt, similarity, notes } = model;
  const dtypes = countDtypes(model);
  return {
    folder,
    commit: snapshotCommit(folder) ?? null,
    ...{ modelType, backbone, head },
    dimensions: outputDimensions(head, hiddenSizeOf(backbone)),
    parameters: Object.values(dtypes).reduce((sum, { parameters }) => sum + parameters, 0),
    dtypes,
    tokenizer: await describeTokenizerOf(model, folder),
    ...{ maxTokens, prompts, defaultPrompt },
    usedPrompts: { query: promptFor(model, 'query'), passage: promptFor(model, 'passage') },
    similarity,
    weights: [...new Set(model.sources.map(({ path }) => path))].map((path) => sizeOf(folder, path)),
    files: listFiles(folder),
    notes,
  };
}

function countDtypes({ sources }: ModelDescription): ModelInspection['dtypes'] {
  const counts: ModelInspection['dtypes'] = {};
  for (const { dtype, shape } of sources) {
    const { tensors, parameters, bytes } = counts[dtype] ?? { tensors: 0, parameters: 0, bytes: 0 };
    const more = elementCount(shape) ?? 0;
    counts[dtype] = {
      tensors: tensors + 1,
      parameters: parameters + more,
      bytes: bytes + more * BYTES[dtype],
    };
  }
  return counts;
}

async function describeTokenizerOf({ tokenizerPath, dictionary }: ModelDescription, folder: string) {
  const { json, info } = dictionary
    ? await loadLaserTokenizer(tokenizerPath, dictionary)
    : await loadTokenizer(tokenizerPath);
  const { vocabularySize } = info;
  return { path: relative(folder, tokenizerPath), kind: json.model.type, vocabularySize };
}

/** Modules lie one level down; what is deeper belongs to no model. */
function listFiles(folder: string): FileSize[] {
  const entries = readdirSync(folder).map((name) => join(folder, name));
  const inner = entries
    .filter((path) => isFolder(path))
    .flatMap((path) => readdirSync(path).map((name) => join(path, name)));
  return [...entries, ...inner]
    .filter((path) => !isFolder(path))
    .map((path) => sizeOf(folder, path))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function sizeOf(folder: string, path: string): FileSize {
  return { path: relative(folder, path), bytes: statSync(path, { throwIfNoEntry: false })?.size ?? 0 };
}
