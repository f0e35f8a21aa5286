import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { XlembedError } from '../errors.js';
import { parseFields, readJson, readOptionalJson } from './json_file.js';
import { isPlainFileName } from './ranged_file.js';

/** One line of modules.json. */
export interface ModuleEntry {
  /** Last part of the Python class: `Transformer`, `Pooling`, `Dense`, `Normalize`. Versions 2 to 6 agree on it alone. */
  type: string;
  /** Absolute or relative to the working directory, like the model folder itself. */
  folder: string;
}

export const SIMILARITIES = ['cosine', 'dot', 'euclidean', 'manhattan'] as const;
/** Larger is more similar; the two distances are negated. */
export type Similarity = (typeof SIMILARITIES)[number];

/** config_sentence_transformers.json. */
export interface EncodingConfig {
  /** Prompt name -> text put before the input. */
  prompts: Record<string, string>;
  /** Name of the prompt for inputs of no particular role. */
  defaultPrompt: string | null;
  similarity: Similarity;
}

const MODULES = z.array(z.object({ type: z.string(), path: z.string() })).min(1);

/** The modules in order; undefined when the folder has no modules.json. Throws MODEL_INVALID, MODEL_UNSUPPORTED. */
export function readModules(folder: string): ModuleEntry[] | undefined {
  const path = join(folder, 'modules.json');
  const raw = readOptionalJson(path);
  if (raw === undefined) return undefined;
  return parseModules(raw, path).map(({ type, path: subfolder }) => ({
    type,
    folder: join(folder, subfolder),
  }));
}

/** The modules in order, `type` as in ModuleEntry; `path` is for messages. Throws MODEL_INVALID, MODEL_UNSUPPORTED. */
export function parseModules(raw: unknown, path: string): z.infer<typeof MODULES> {
  const modules = parseFields(MODULES, raw, path).map(({ type, path: subfolder }, position) => {
    // A repository's own class computes something else than its name says.
    if (!type.startsWith('sentence_transformers.'))
      throw unsupported(path, `${position}.type`, type, ['sentence_transformers.*']);
    if (subfolder !== '' && !isPlainFileName(subfolder)) {
      const shown = JSON.stringify(subfolder);
      throw new XlembedError(
        'MODEL_INVALID',
        `${path}: ${position}.path ${shown} leads out of the model folder`,
      );
    }
    return { type: type.split('.').at(-1)!, path: subfolder };
  });
  checkOrder(path, modules);
  return modules;
}

/** A transformer, then pooling, then any number of the modules that work on the pooled embedding. */
function checkOrder(path: string, modules: readonly { type: string }[]): void {
  const expected = [['Transformer'], ['Pooling']];
  for (let position = 0; position < Math.max(modules.length, expected.length); position++) {
    const supported = expected[position] ?? ['Dense', 'Normalize'];
    const type = modules[position]?.type ?? null;
    if (type === null || !supported.includes(type)) {
      throw unsupported(path, `${position}.type`, type, supported);
    }
  }
}

const ENCODING = z.object({
  model_type: z.string().nullish(),
  prompts: z.record(z.string(), z.string()).nullish(),
  default_prompt_name: z.string().nullish(),
  similarity_fn_name: z.string().nullish(),
  truncate_dim: z.int().positive().nullish(),
});

/** Prompts and similarity; the file is optional. Throws MODEL_INVALID, MODEL_UNSUPPORTED. */
export function readEncodingConfig(folder: string): EncodingConfig {
  const path = join(folder, 'config_sentence_transformers.json');
  const fields = parseFields(ENCODING, readOptionalJson(path) ?? {}, path);
  const prompts = fields.prompts ?? {};
  const defaultPrompt = fields.default_prompt_name ?? null;
  const modelType = fields.model_type ?? 'SentenceTransformer';
  if (modelType !== 'SentenceTransformer')
    throw unsupported(path, 'model_type', modelType, ['SentenceTransformer']);
  if (fields.truncate_dim) {
    throw new XlembedError(
      'MODEL_UNSUPPORTED',
      `${path}: truncate_dim is ${fields.truncate_dim}, supported: null`,
      `remove it for whole embeddings; xlembed encode --dimensions ${fields.truncate_dim} keeps their first values`,
    );
  }
  if (defaultPrompt !== null && !Object.hasOwn(prompts, defaultPrompt)) {
    const hint = `name one of: ${Object.keys(prompts).join(', ')}`;
    throw new XlembedError(
      'MODEL_INVALID',
      `${path}: default_prompt_name "${defaultPrompt}" is not in prompts`,
      hint,
    );
  }
  return { prompts, defaultPrompt, similarity: checkSimilarity(fields.similarity_fn_name ?? 'cosine', path) };
}

function checkSimilarity(name: string, path: string): Similarity {
  const similarity = SIMILARITIES.find((known) => known === name.replace(/_score$|_sim$/, ''));
  if (!similarity) throw unsupported(path, 'similarity_fn_name', name, SIMILARITIES);
  return similarity;
}

// Versions before 3 name the file after the model's class.
const LENGTH_FILES = ['bert', 'roberta', 'distilbert', 'camembert', 'albert', 'xlm-roberta', 'xlnet'].map(
  (type) => `sentence_${type}_config.json`,
);

const LENGTH = z.looseObject({
  max_seq_length: z.int().positive().nullish(),
  do_lower_case: z.boolean().nullish(),
  modality_config: z.object({ text: z.looseObject({}).nullish() }).nullish(),
});

/** What version 6 and, under the names with `args`, earlier ones hand to transformers: it may change any result. */
const ARGUMENTS = [
  ...['model_kwargs', 'config_kwargs', 'processor_kwargs', 'processing_kwargs'],
  ...['model_args', 'config_args', 'tokenizer_args'],
];

/** sentence_bert_config.json. */
export interface TextConfig {
  /** Tokens per input that the model was made for; undefined when the folder does not say. */
  maxTokens: number | undefined;
  /** Texts are lower-cased before the tokenizer, which may do so too. */
  lowerCase: boolean;
}

/** What the transformer's folder says about its texts; the file is optional. Throws MODEL_INVALID, MODEL_UNSUPPORTED. */
export function readTextConfig(transformerFolder: string): TextConfig {
  const name = LENGTH_FILES.find((file) => existsSync(join(transformerFolder, file)));
  if (!name) return { maxTokens: undefined, lowerCase: false };
  const path = join(transformerFolder, name);
  const fields = parseFields(LENGTH, readJson(path), path);
  checkTokenEmbeddings(fields, path);
  return { maxTokens: fields.max_seq_length ?? undefined, lowerCase: fields.do_lower_case ?? false };
}

/** The transformer gives its last layer's token embeddings, without settings of its own. */
function checkTokenEmbeddings(fields: z.infer<typeof LENGTH>, path: string): void {
  const checkValue = (field: string, value: unknown, supported: string) => {
    if ((value ?? supported) !== supported) throw unsupported(path, field, value, [supported]);
  };
  checkValue('transformer_task', fields.transformer_task, 'feature-extraction');
  checkValue('module_output_name', fields.module_output_name, 'token_embeddings');
  const output = fields.modality_config?.text?.method_output_name;
  checkValue('modality_config.text.method_output_name', output, 'last_hidden_state');
  for (const name of ARGUMENTS) {
    const given = fields[name] ?? {};
    if (typeof given !== 'object' || Object.keys(given).length > 0)
      throw unsupported(path, name, given, [{}]);
  }
}

/** MODEL_UNSUPPORTED in one spelling: "FILE: FIELD is VALUE, supported: ...". */
export function unsupported(
  path: string,
  field: string,
  received: unknown,
  supported: readonly unknown[],
): XlembedError {
  const listed = supported.map((value) => JSON.stringify(value)).join(', ');
  return new XlembedError(
    'MODEL_UNSUPPORTED',
    `${path}: ${field} is ${JSON.stringify(received)?.slice(0, 80)}, supported: ${listed}`,
    'choose a model without this module or setting',
  );
}
