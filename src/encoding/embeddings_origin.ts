import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { XlembedError } from '../errors.js';
import { fileError } from '../files/file_error.js';
import type { CorpusSettings } from './corpus/options.js';

/** Which model made embeddings, and what was done to what it gave: queries must be made likewise. */
export type EmbeddingsOrigin = Pick<
  CorpusSettings,
  'model' | 'modelFiles' | 'modelDimensions' | 'normalized'
>;

const originFile = 'origin.json';

export function originOf({
  model,
  modelFiles,
  modelDimensions,
  normalized,
}: EmbeddingsOrigin): EmbeddingsOrigin {
  return { model, modelFiles, modelDimensions, normalized };
}

/** Of a folder with one array; undefined where nobody said. Throws MALFORMED_FILE. */
export async function readOrigin(folder: string): Promise<EmbeddingsOrigin | undefined> {
  const path = join(folder, originFile);
  try {
    return JSON.parse(await readFile(path, 'utf8')) as EmbeddingsOrigin;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    if (!(cause instanceof SyntaxError)) throw fileError(path, cause);
    throw new XlembedError('MALFORMED_FILE', `${path} is not JSON`, 'save the index again', { cause });
  }
}

export async function writeOrigin(folder: string, origin: EmbeddingsOrigin): Promise<void> {
  await writeFile(join(folder, originFile), `${JSON.stringify(origin, null, 2)}\n`);
}
