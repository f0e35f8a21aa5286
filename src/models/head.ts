import { join } from 'node:path';
import { z } from 'zod';
import { XlembedError } from '../errors.js';
import type { HeadModule } from '../native.js';
import { parseFields, readJson, readOptionalJson } from './json_file.js';
import { readPooling } from './pooling.js';
import { type ModuleEntry, unsupported } from './sentence_transformers.js';

type DenseModule = Extract<HeadModule, { type: 'dense' }>;

/** Last part of the PyTorch class -> native activation. */
const ACTIVATIONS = new Map<string, DenseModule['activation']>([
  ['Tanh', 'tanh'],
  ['Identity', 'identity'],
  ['ReLU', 'relu'],
  ['GELU', 'gelu'],
]);

export interface Head {
  modules: HeadModule[];
  /** Position in `modules` -> folder with the dense module's weights. */
  denseFolders: Map<number, string>;
  /** Length of an embedding. */
  dimensions: number;
  /** Pooling sees the tokens of a prompt. */
  includePrompt: boolean;
}

/** Its embeddings have length 1. */
export function isNormalizing(head: readonly HeadModule[]): boolean {
  return head.at(-1)?.type === 'normalize';
}

/**
 * What follows the transformer, in the order that readModules has checked. `hiddenSize` is the transformer's output.
 * Throws MODEL_UNSUPPORTED, naming file and field, for what the native head does not compute; MODEL_INVALID.
 */
export function readHead(modules: readonly ModuleEntry[], hiddenSize: number, hasPrompts: boolean): Head {
  const head: Head = { modules: [], denseFolders: new Map(), dimensions: hiddenSize, includePrompt: true };
  for (const module of modules.slice(1)) {
    const path = join(module.folder, 'config.json');
    if (module.type === 'Pooling') addPooling(head, path, hasPrompts);
    if (module.type === 'Dense') addDense(head, module.folder, path);
    if (module.type === 'Normalize') head.modules.push(readNormalize(path));
  }
  return head;
}

function addPooling(head: Head, path: string, hasPrompts: boolean): void {
  const { modes, dimension, includePrompt } = readPooling(path, hasPrompts);
  checkDimension(path, 'embedding_dimension', dimension, head.dimensions);
  head.modules.push({ type: 'pool', modes });
  head.includePrompt = includePrompt;
  head.dimensions *= modes.length;
}

const DENSE = z.looseObject({
  in_features: z.int().positive(),
  out_features: z.int().positive(),
  bias: z.boolean().default(true),
  activation_function: z.string().default('torch.nn.modules.activation.Tanh'),
});

function addDense(head: Head, folder: string, path: string): void {
  const raw = readJson(path);
  const fields = parseFields(DENSE, raw, path);
  checkSentenceEmbedding(fields, path);
  if (fields.use_residual) throw unsupported(path, 'use_residual', fields.use_residual, [false]);
  checkDimension(path, 'in_features', fields.in_features, head.dimensions);
  const activation = ACTIVATIONS.get(fields.activation_function.split('.').at(-1)!);
  if (!activation) {
    throw unsupported(path, 'activation_function', fields.activation_function, [...ACTIVATIONS.keys()]);
  }
  const { in_features: inFeatures, out_features: outFeatures, bias } = fields;
  head.denseFolders.set(head.modules.length, folder);
  head.modules.push({ type: 'dense', inFeatures, outFeatures, bias, activation });
  head.dimensions = outFeatures;
}

function readNormalize(path: string): HeadModule {
  checkSentenceEmbedding(parseFields(z.looseObject({}), readOptionalJson(path) ?? {}, path), path);
  return { type: 'normalize' };
}

/** Version 6 lets a module work on another feature than the pooled embedding. */
function checkSentenceEmbedding(fields: Record<string, unknown>, path: string): void {
  for (const field of ['module_input_name', 'module_output_name']) {
    const feature = fields[field] ?? 'sentence_embedding';
    if (feature !== 'sentence_embedding') throw unsupported(path, field, feature, ['sentence_embedding']);
  }
}

function checkDimension(path: string, field: string, received: number | undefined, expected: number): void {
  if (received === expected || received === undefined) return;
  throw new XlembedError(
    'MODEL_INVALID',
    `${path}: ${field} is ${received}, the module before it gives ${expected}`,
    'the folder mixes modules of different models',
  );
}
