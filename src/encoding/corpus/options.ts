import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { basename } from 'node:path';
import { z } from 'zod';
import { checkOptions, functionSchema, signalSchema } from '../../checked_options.js';
import { STDIN } from '../../datasets/bytes.js';
import type { TextInput } from '../../datasets/texts.js';
import { invalidArgument } from '../../errors.js';
import { isNormalizing } from '../../models/head.js';
import type { ModelDescription } from '../../models/open_model.js';
import { tokenizerFilesOf } from '../../models/tokenizer_files.js';
import { defaultTokenBudget } from '../encode_sequences.js';
import type { EncodeOptions, Encoder } from '../encoder.js';
import type { CorpusFigures } from './figures.js';
import type { Precision } from './precision.js';
import { type ShardFormatName, type ShardLayout, shardFormat } from './shard_format.js';

export interface CorpusOptions extends Omit<EncodeOptions, 'onProgress'> {
  /** Of the shards; default npy. */
  format?: ShardFormatName | undefined;
  /** Of the stored values; default float32. */
  precision?: Precision | undefined;
  /** First values kept of each embedding (Matryoshka); default all. */
  dimensions?: number | undefined;
  /** Scale embeddings to length 1, after the cut to `dimensions`; default: where the model does so. */
  normalize?: boolean | undefined;
  /** Rows of the input in one shard; default 16,384. */
  rowsPerShard?: number | undefined;
  /** Keep the texts beside their ids, so that a search can show them; default true. */
  keepTexts?: boolean | undefined;
  /** Go on with an interrupted run in the same folder. Default false. */
  resume?: boolean | undefined;
  /** Replace a folder of embeddings. Default false. */
  overwrite?: boolean | undefined;
  /** An id that occurs twice: DUPLICATE_ID at the end, when only the manifest is missing, or counted. Default 'fail'. */
  duplicates?: 'fail' | 'count' | undefined;
  /** Several processes: one that gives no sign of life for so long is lost, and its shards are taken over; default 15 s. */
  lostAfter_ms?: number | undefined;
  /** Several processes: how long to wait for the one of rank 0; default 5 minutes. */
  connect_ms?: number | undefined;
  /**
   * Ends the run with the shard under way, one that reads the standard input at once; the manifest that is returned then says `complete: false`, and is left as
   * `manifest.incomplete.json` beside the shards that are there.
   */
  signal?: AbortSignal | undefined;
  onProgress?: ((figures: CorpusFigures) => void) | undefined;
  /** Something that a user should know, once. */
  onNote?: ((note: string) => void) | undefined;
}

const count = z.int().min(1);
const schema = z
  .strictObject({
    role: z.enum(['query', 'passage']),
    prompt: z.string(),
    tokenBudget: count,
    // Named by shardFormat(), which knows what goes together.
    format: z.unknown(),
    precision: z.unknown(),
    dimensions: count,
    normalize: z.boolean(),
    rowsPerShard: count,
    keepTexts: z.boolean(),
    resume: z.boolean(),
    overwrite: z.boolean(),
    duplicates: z.enum(['fail', 'count']),
    lostAfter_ms: z.number().positive(),
    connect_ms: z.number().positive(),
    signal: signalSchema,
    onProgress: functionSchema,
    onNote: functionSchema,
  })
  .partial();

/** What the bytes of the output depend on: a run resumes only where these are as they were (same_settings.ts). */
export interface CorpusSettings extends ShardLayout {
  /** Folder of the model, as it was given. */
  model: string | null;
  /** Name, size and last change (ms) of the model's files. */
  modelFiles: string[];
  /** SHA-256 of what its configuration says of layers, pooling and lower case. */
  modelConfig: string;
  role: string | null;
  prompt: string;
  maxTokens: number;
  /** Of the arithmetic. */
  dtype: string;
  device: string;
  format: ShardFormatName;
  /** Embeddings have length 1. */
  normalized: boolean;
  /** What the model gives; `dimensions` of them are kept. */
  modelDimensions: number;
  tokenBudget: number;
  rowsPerShard: number;
  malformed: string;
  inputs: {
    path: string;
    format: string;
    bytes: number | null;
    modified_ms: number | null;
    columns: string;
  }[];
}

export const ROWS_PER_SHARD = 16_384;

/** All defaults filled in. Throws INVALID_ARGUMENT. */
export function resolveSettings(encoder: Encoder, input: TextInput, options: CorpusOptions): CorpusSettings {
  checkOptions(schema, options);
  const { model } = encoder;
  const { dimensions = encoder.dimensions, rowsPerShard = ROWS_PER_SHARD } = options;
  const { format = 'npy', precision = 'float32' } = options;
  const { tokenBudget = defaultTokenBudget(encoder.device) } = options;
  if (dimensions > encoder.dimensions)
    throw invalidArgument('dimensions', `at most the model's ${encoder.dimensions}`, dimensions);
  shardFormat(format, precision);
  return {
    model: model.folder,
    modelFiles: modelFilesOf(model),
    modelConfig: modelConfigOf(model),
    role: options.role ?? null,
    prompt: encoder.promptOf(options),
    maxTokens: model.maxTokens,
    dtype: encoder.dtype,
    device: encoder.device,
    format,
    precision,
    dimensions,
    normalized: areNormal(encoder, dimensions) || (options.normalize ?? isNormalizing(model.head)),
    modelDimensions: encoder.dimensions,
    keepTexts: options.keepTexts ?? true,
    tokenBudget,
    rowsPerShard,
    malformed: input.onMalformed,
    inputs: input.files.map(({ path, format: inputFormat, bytes, modified_ms, idColumn, textColumns }) => ({
      path,
      format: inputFormat,
      bytes,
      modified_ms,
      columns: [idColumn ?? '', ...textColumns].join(','),
    })),
  };
}

/** The first `dimensions` of the model's embeddings have length 1 as they are. */
export function areNormal(encoder: Encoder, dimensions: number): boolean {
  return isNormalizing(encoder.model.head) && dimensions === encoder.dimensions;
}

/** Such a run cannot go on: what was read is gone. */
export function readsStdin({ inputs }: CorpusSettings): boolean {
  return inputs.some(({ path }) => path === STDIN);
}

export function modelFilesOf({ tokenizerPath, sources }: ModelDescription): string[] {
  return [...new Set([...tokenizerFilesOf(tokenizerPath), ...sources.map(({ path }) => path)])].map(
    (path) => {
      const stats = statSync(path, { throwIfNoEntry: false });
      return `${basename(path)} ${stats?.size ?? 0} ${Math.floor(stats?.mtimeMs ?? 0)}`;
    },
  );
}

function modelConfigOf({ backbone, head, lowerCase, dictionary }: ModelDescription): string {
  const config = { backbone, head, lowerCase, dictionary: [...(dictionary ?? [])] };
  return createHash('sha256').update(JSON.stringify(config)).digest('hex');
}
