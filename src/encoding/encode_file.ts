import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TextFile, TextRecord } from '../datasets/texts.js';
import { type EmbeddingsPiece, writeEmbeddingsFolder } from './embeddings_folder.js';
import type { EncodeOptions, Encoder, TextCounts } from './encoder.js';

/** Stored as `manifest.json`: what the embeddings are and what they were made with. */
export interface EmbeddingsManifest extends TextCounts {
  /** Folder of the model, as it was given. */
  model: string | null;
  role: string | null;
  prompt: string;
  rows: number;
  dimensions: number;
  /** Tokens encoded, special tokens included. */
  tokens: number;
  maxTokens: number;
  /** Of the arithmetic; embeddings.npy is float32. */
  dtype: string;
  normalized: boolean;
  /** Malformed input lines left out. */
  skippedLines: number;
  seconds: number;
}

export interface EncodeFileOptions extends Omit<EncodeOptions, 'onProgress'> {
  overwrite?: boolean;
  /** Keep the texts beside their ids, so that a search can show them; default true. */
  keepTexts?: boolean;
  /** Rows done so far. */
  onProgress?: (rows: number, tokens: number) => void;
}

/** Texts that are read, encoded and written together: bounds memory whatever the corpus. */
const CHUNK = 16_384;

/**
 * Encodes a text file into a folder of embeddings: `embeddings.npy` (rows in input order), `ids.jsonl` and
 * `manifest.json`, complete or not there at all. Throws what reading and encoding throw, FILE_EXISTS,
 * FILE_WRITE_FAILED.
 */
export async function encodeFile(
  encoder: Encoder,
  input: TextFile,
  folder: string,
  options: EncodeFileOptions = {},
): Promise<EmbeddingsManifest> {
  const { overwrite = false, keepTexts = true, onProgress, ...encodeOptions } = options;
  const begun = performance.now();
  const totals = { rows: 0, tokens: 0, truncated: 0, replacedSurrogates: 0, empty: 0 };
  const encoded = async function* (): AsyncGenerator<EmbeddingsPiece> {
    for await (const records of chunks(input)) {
      const texts = records.map(({ text }) => text);
      const embeddings = await encoder.encode(texts, encodeOptions);
      for (const name of Object.keys(totals) as (keyof typeof totals)[]) totals[name] += embeddings[name];
      yield { vectors: embeddings.data, rows: keepTexts ? records : records.map(({ id }) => id) };
      onProgress?.(totals.rows, totals.tokens);
    }
  };
  let manifest: EmbeddingsManifest | undefined;
  const finish = async (temporary: string) => {
    manifest = {
      model: encoder.model.folder,
      role: encodeOptions.role ?? null,
      prompt: encoder.promptOf(encodeOptions),
      dimensions: encoder.dimensions,
      ...totals,
      maxTokens: encoder.model.maxTokens,
      dtype: encoder.dtype,
      normalized: encoder.model.head.at(-1)?.type === 'normalize',
      skippedLines: input.counts.skipped,
      seconds: (performance.now() - begun) / 1000,
    };
    await writeFile(join(temporary, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  };
  await writeEmbeddingsFolder(folder, encoder.dimensions, encoded(), { overwrite, finish });
  return manifest!;
}

async function* chunks(input: TextFile): AsyncGenerator<TextRecord[]> {
  let records: TextRecord[] = [];
  for await (const record of input) {
    records.push(record);
    if (records.length < CHUNK) continue;
    yield records;
    records = [];
  }
  if (records.length > 0) yield records;
}
