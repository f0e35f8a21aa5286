import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { requirePath } from '../checked_options.js';
import { NpyWriter, readNpyHeader, readNpyRows } from '../datasets/npy.js';
import { XlembedError } from '../errors.js';
import { restoreFolder, writeFolderBeside } from '../files/write_folder.js';
import { countRepeated } from '../large_map.js';
import { EMBEDDINGS_FOLDER, MANIFEST, PROGRESS } from './corpus/folder_entries.js';
import { readIdLines } from './corpus/shard_ids.js';
import { describeShards, type NamedVectors, openShards, readShards } from './corpus/shards_folder.js';
import { type EmbeddingsOrigin, readOrigin, writeOrigin } from './embeddings_origin.js';

const vectorsFile = 'embeddings.npy';
const idsFile = 'ids.jsonl';

/**
 * A folder of embeddings: the shards and the manifest that Encoder.encodeCorpus writes; or `embeddings.npy`, an (N, D)
 * float32 or float16 array in C order, and `ids.jsonl`, N lines that are each a JSON string or
 * `{"id": ..., "text": ...}`, the text optional, and `origin.json` where the model is known.
 */
export interface EmbeddingsFolder {
  rows: number;
  dimensions: number;
  /** undefined where nobody said. */
  origin: EmbeddingsOrigin | undefined;
  ids: string[];
  /** By row; undefined when no line has a text. */
  texts: (string | undefined)[] | undefined;
  /** Where the vectors lie when they are one float32 array, row after row from byte `offset` on. */
  array(): Promise<{ path: string; offset: number } | undefined>;
  /** The vectors in order, in pieces of (rows, D) float32. */
  pieces(): AsyncGenerator<Float32Array, void, undefined>;
}

/**
 * Opens such a folder: reads the ids and the array's header. Throws FILE_NOT_FOUND, FILE_READ_FAILED, MALFORMED_LINE
 * with its number, and MALFORMED_FILE, also when the numbers of ids and vectors differ or a run has not ended.
 */
export async function openEmbeddingsFolder(folder: string): Promise<EmbeddingsFolder> {
  requirePath('folder', folder);
  await restoreFolder(folder);
  if (existsSync(join(folder, MANIFEST))) return openShards(folder);
  if (existsSync(join(folder, PROGRESS))) {
    throw new XlembedError(
      'MALFORMED_FILE',
      `${folder} holds a run of xlembed encode that has not ended`,
      'end it with --resume',
    );
  }
  const path = join(folder, vectorsFile);
  if (!existsSync(path)) {
    throw new XlembedError(
      'FILE_NOT_FOUND',
      `no embeddings in ${folder}: it has neither ${MANIFEST} nor ${vectorsFile}`,
      'name a folder that xlembed encode or FlatIndex.save has written',
    );
  }
  const { rows, dimensions, dtype, offset } = await readNpyHeader(path);
  const { ids, texts } = await readIdLines(join(folder, idsFile));
  if (ids.length !== rows) {
    throw new XlembedError(
      'MALFORMED_FILE',
      `expected ${rows} ids in ${join(folder, idsFile)}, received ${ids.length}`,
      'the two files do not belong together',
    );
  }
  const kept = texts.some((text) => text !== undefined) ? texts : undefined;
  const pieces = () => readNpyRows(path);
  const array = async () => (dtype === 'float32' ? { path, offset } : undefined);
  return {
    rows,
    dimensions,
    origin: await readOrigin(folder),
    ids,
    texts: kept,
    array,
    pieces,
  };
}

/** What is known of such a folder before its vectors are read. */
export interface EmbeddingsSource {
  rows: number;
  dimensions: number;
  /** Rows whose id an earlier row has. */
  duplicateIds: number;
  /** The same for the same content. */
  fingerprint: string;
  origin: EmbeddingsOrigin | undefined;
}

/** Throws as `openEmbeddingsFolder` does. */
export async function describeEmbeddings(folder: string): Promise<EmbeddingsSource> {
  await restoreFolder(folder);
  if (existsSync(join(folder, MANIFEST))) return describeShards(folder);
  const { rows, dimensions, ids, origin } = await openEmbeddingsFolder(folder);
  const files = await Promise.all([vectorsFile, idsFile].map((name) => stat(join(folder, name))));
  const changes = files.map(({ size, mtimeMs }) => `${size} ${mtimeMs}`).join(' ');
  const fingerprint = createHash('sha256').update(changes).digest('hex');
  return { rows, dimensions, duplicateIds: countRepeated(ids), fingerprint, origin };
}

/** The rows from `firstRow` on, piece by piece; shards in memory that does not grow with them. Throws likewise. */
export async function* readEmbeddings(
  folder: string,
  firstRow = 0,
): AsyncGenerator<NamedVectors, void, undefined> {
  const isSharded = existsSync(join(folder, MANIFEST));
  for await (const piece of isSharded ? readShards(folder, firstRow) : plainRows(folder)) {
    const dropped = firstRow - piece.firstRow;
    if (dropped < piece.ids.length) yield dropped > 0 ? behind(piece, dropped) : piece;
  }
}

function behind({ firstRow, vectors, ids, texts }: NamedVectors, dropped: number): NamedVectors {
  const dimensions = vectors.length / ids.length;
  return {
    firstRow: firstRow + dropped,
    vectors: vectors.subarray(dropped * dimensions),
    ids: ids.slice(dropped),
    texts: texts.slice(dropped),
  };
}

async function* plainRows(folder: string): AsyncGenerator<NamedVectors> {
  const { dimensions, ids, texts, pieces } = await openEmbeddingsFolder(folder);
  let row = 0;
  for await (const vectors of pieces()) {
    const end = row + vectors.length / dimensions;
    yield { firstRow: row, vectors, ids: ids.slice(row, end), texts: texts?.slice(row, end) ?? [] };
    row = end;
  }
}

/** Vectors (rows, D) laid end to end, and the row's id, or id and text, for each. */
export interface EmbeddingsPiece {
  vectors: Float32Array;
  rows: readonly (string | { id: string; text: string })[];
}

/**
 * Writes such a folder beside and renames it into place; `finish` may add files to it before. Throws FILE_EXISTS
 * unless `overwrite`, FILE_WRITE_FAILED, and DIMENSION_MISMATCH for a piece whose vectors do not fit its rows.
 */
export async function writeEmbeddingsFolder(
  folder: string,
  dimensions: number,
  pieces: AsyncIterable<EmbeddingsPiece> | Iterable<EmbeddingsPiece>,
  options: {
    overwrite?: boolean | undefined;
    origin?: EmbeddingsOrigin | undefined;
    finish?: (temporary: string) => Promise<void>;
  } = {},
): Promise<void> {
  const { overwrite = false, origin, finish } = options;
  await writeFolderBeside(folder, overwrite ? EMBEDDINGS_FOLDER : undefined, async (temporary) => {
    const writer = await NpyWriter.create(join(temporary, vectorsFile), dimensions);
    const ids = await open(join(temporary, idsFile), 'wx');
    try {
      for await (const { vectors, rows } of pieces) {
        requireFit(vectors, rows.length, dimensions);
        await writer.append(vectors);
        await ids.appendFile(rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
      }
      await writer.close();
    } catch (cause) {
      await writer.abort();
      throw cause;
    } finally {
      await ids.close();
    }
    if (origin) await writeOrigin(temporary, origin);
    await finish?.(temporary);
  });
}

function requireFit(vectors: Float32Array, rows: number, dimensions: number): void {
  if (vectors.length === rows * dimensions) return;
  throw new XlembedError(
    'DIMENSION_MISMATCH',
    `expected ${rows} x ${dimensions} values, received ${vectors.length}`,
  );
}
