import { join } from 'node:path';
import { z } from 'zod';
import { XlembedError } from '../errors.js';
import type { HeadModule } from '../native.js';
import { parseFields, readJson, readOptionalJson } from './json_file.js';
import { type ModuleEntry, unsupported } from './sentence_transformers.js';

type PoolModule = Extract<HeadModule, { type: 'pool' }>;
type DenseModule = Extract<HeadModule, { type: 'dense' }>;

/** sentence-transformers' pooling modes that the native head computes. */
const POOLING_MODES = new Map<string, PoolModule['mode']>([
  ['mean', 'mean'],
  ['cls', 'first'],
  ['max', 'max'],
]);

// Spelling up to version 5: one boolean per mode.
const POOLING_FLAGS: Record<string, string> = {
  pooling_mode_cls_token: 'cls',
  pooling_mode_max_tokens: 'max',
  pooling_mode_mean_tokens: 'mean',
  pooling_mode_mean_sqrt_len_tokens: 'mean_sqrt_len_tokens',
  pooling_mode_weightedmean_tokens: 'weightedmean',
  pooling_mode_lasttoken: 'lasttoken',
};

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
}

/**
 * What follows the transformer, in the order that readModules has checked. `hiddenSize` is the transformer's output.
 * Throws MODEL_UNSUPPORTED, naming file and field, for what the native head does not compute; MODEL_INVALID.
 */
export function readHead(modules: readonly ModuleEntry[], hiddenSize: number, hasPrompts: boolean): Head {
  const head: Head = { modules: [], denseFolders: new Map(), dimensions: hiddenSize };
  for (const module of modules.slice(1)) {
    const path = join(module.folder, 'config.json');
    if (module.type === 'Pooling') head.modules.push(readPooling(path, hiddenSize, hasPrompts));
    if (module.type === 'Dense') addDense(head, module.folder, path);
    if (module.type === 'Normalize') head.modules.push(readNormalize(path));
  }
  return head;
}

const POOLING = z.looseObject({
  pooling_mode: z.union([z.string(), z.array(z.string()).min(1)]).optional(),
  embedding_dimension: z.int().positive().optional(),
  word_embedding_dimension: z.int().positive().optional(),
  include_prompt: z.boolean().default(true),
});

function readPooling(path: string, hiddenSize: number, hasPrompts: boolean): PoolModule {
  const fields = parseFields(POOLING, readJson(path), path);
  checkDimension(
    path,
    'embedding_dimension',
    fields.embedding_dimension ?? fields.word_embedding_dimension,
    hiddenSize,
  );
  if (!fields.include_prompt && hasPrompts) throw unsupported(path, 'include_prompt', false, [true]);
  const flags = Object.keys(POOLING_FLAGS).filter((flag) => fields[flag] === true);
  const modes = fields.pooling_mode
    ? [fields.pooling_mode].flat()
    : flags.map((flag) => POOLING_FLAGS[flag]!);
  const field = fields.pooling_mode ? 'pooling_mode' : flags.join(' and ') || 'pooling_mode';
  // No flag at all means mean, as in sentence-transformers.
  const mode = modes.length === 0 ? 'mean' : modes.length === 1 ? POOLING_MODES.get(modes[0]!) : undefined;
  if (!mode) throw unsupported(path, field, modes.length === 1 ? modes[0] : modes, [...POOLING_MODES.keys()]);
  return { type: 'pool', mode };
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
