import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { asyncBufferFromFile, parquetReadObjects } from 'hyparquet';
import { type NpyHeader, readNpyHeader, readRowsAt } from '../../datasets/npy.js';
import { invalidArgument, XlembedError } from '../../errors.js';
import { fileError } from '../../files/file_error.js';
import { readSafetensorsHeader } from '../../models/safetensors.js';
import type { EmbeddingsFolder, EmbeddingsSource } from '../embeddings_folder.js';
import { originOf } from '../embeddings_origin.js';
import { MANIFEST } from './folder_entries.js';
import type { CorpusManifest } from './manifest.js';
import type { ShardRecord } from './output_folder.js';
import { type RowNames, readShardIds } from './shard_ids.js';

/**
 * Opens a folder that Encoder.encodeCorpus has completed: float16 and int8 come back as float32. Throws FILE_NOT_FOUND,
 * MALFORMED_FILE, also when a shard is not the one that the manifest describes, and INVALID_ARGUMENT for binary vectors,
 * which have no length.
 */
export async function openShards(folder: string): Promise<EmbeddingsFolder> {
  const manifest = await readManifest(folder);
  requireLengths(folder, manifest);
  const { rows, dimensions } = manifest;
  const ids: string[] = [];
  const texts: (string | undefined)[] = [];
  for (const shard of manifest.shards) {
    const names = await namesOf(folder, shard);
    for (const id of names.ids) ids.push(id);
    for (const text of names.texts) texts.push(text);
  }
  const kept = texts.some((text) => text !== undefined) ? texts : undefined;
  const pieces = async function* () {
    for (const shard of manifest.shards) yield* vectorsOf(folder, manifest, shard);
  };
  const array = () => arrayOf(folder, manifest);
  return { rows, dimensions, origin: originOf(manifest), ids, texts: kept, array, pieces };
}

/** A piece of a shard: vectors (rows, D) and what they are of. */
export interface NamedVectors extends RowNames {
  /** Where in the folder it begins. */
  firstRow: number;
  vectors: Float32Array;
}

/**
 * The same folder piece by piece, in memory that does not grow with it, from the shard with row `from` on. Throws as
 * `openShards` does.
 */
export async function* readShards(folder: string, from = 0): AsyncGenerator<NamedVectors, void, undefined> {
  const manifest = await readManifest(folder);
  requireLengths(folder, manifest);
  let firstRow = 0;
  for (const shard of manifest.shards) {
    if (firstRow + shard.rows > from) yield* piecesOf(folder, manifest, shard, firstRow);
    firstRow += shard.rows;
  }
}

async function* piecesOf(
  folder: string,
  manifest: CorpusManifest,
  shard: ShardRecord,
  firstRow: number,
): AsyncGenerator<NamedVectors> {
  const { ids, texts } = await namesOf(folder, shard);
  let row = 0;
  for await (const vectors of vectorsOf(folder, manifest, shard)) {
    const end = row + vectors.length / manifest.dimensions;
    yield { firstRow: firstRow + row, vectors, ids: ids.slice(row, end), texts: texts.slice(row, end) };
    row = end;
  }
}

/** Likewise, without reading a shard; the fingerprint is that of the shards' bytes. */
export async function describeShards(folder: string): Promise<EmbeddingsSource> {
  const manifest = await readManifest(folder);
  requireLengths(folder, manifest);
  const { rows, dimensions, duplicateIds, shards } = manifest;
  const hash = createHash('sha256');
  for (const { files } of shards) for (const { name, sha256 } of files) hash.update(`${name} ${sha256}\n`);
  return { rows, dimensions, duplicateIds, fingerprint: hash.digest('hex'), origin: originOf(manifest) };
}

async function namesOf(folder: string, { files, rows }: ShardRecord): Promise<RowNames> {
  const names = await readShardIds(
    folder,
    files.map(({ name }) => name),
  );
  if (names.ids.length === rows) return names;
  throw malformed(join(folder, files[0]!.name), `${rows} ids`, names.ids.length);
}

function requireLengths(folder: string, { precision }: CorpusManifest): void {
  if (precision !== 'binary') return;
  throw invalidArgument('precision', `float32, float16 or int8 embeddings in ${folder}`, precision);
}

async function readManifest(folder: string): Promise<CorpusManifest> {
  const path = join(folder, MANIFEST);
  try {
    const manifest = JSON.parse(await readFile(path, 'utf8')) as CorpusManifest;
    if (manifest.formatVersion === 1 && Array.isArray(manifest.shards)) return manifest;
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw fileError(path, cause);
  }
  throw new XlembedError(
    'MALFORMED_FILE',
    `expected a manifest of xlembed encode, format 1, at ${path}`,
    'embed the corpus again, with --overwrite',
  );
}

async function* vectorsOf(
  folder: string,
  { format, dimensions, precision }: CorpusManifest,
  shard: ShardRecord,
): AsyncGenerator<Float32Array, void, undefined> {
  if (shard.rows === 0) return;
  const paths = shard.files.map(({ name }) => join(folder, name));
  if (format === 'parquet') {
    yield await parquetVectors(paths[0]!, dimensions);
    return;
  }
  const layout = format === 'npy' ? await npyLayout(paths) : safetensorsLayout(paths[0]!);
  checkShape(paths[0]!, layout.values, shard, dimensions);
  const scales = precision === 'int8' ? await allRows(layout.scales) : undefined;
  let row = 0;
  for await (const piece of readRowsAt(layout.values.path, layout.values)) {
    if (scales) scaleRows(piece, scales, row, dimensions);
    row += piece.length / dimensions;
    yield piece;
  }
}

/** Where the vectors lie when they are one float32 array. */
async function arrayOf(folder: string, { format, dimensions, shards }: CorpusManifest) {
  const [shard] = shards;
  if (!shard || shards.length > 1 || format === 'parquet') return undefined;
  const paths = shard.files.map(({ name }) => join(folder, name));
  const { values } = format === 'npy' ? await npyLayout(paths) : safetensorsLayout(paths[0]!);
  checkShape(paths[0]!, values, shard, dimensions);
  return values.dtype === 'float32' ? { path: values.path, offset: values.offset } : undefined;
}

type Layout = NpyHeader & { path: string };

async function npyLayout(paths: string[]): Promise<{ values: Layout; scales: Layout | undefined }> {
  const [values, , scales] = paths;
  return {
    values: { path: values!, ...(await readNpyHeader(values!)) },
    scales: scales === undefined ? undefined : { path: scales, ...(await readNpyHeader(scales)) },
  };
}

function safetensorsLayout(path: string): { values: Layout; scales: Layout | undefined } {
  const dtypes = new Map<string, NpyHeader['dtype']>([
    ['F32', 'float32'],
    ['F16', 'float16'],
    ['I8', 'int8'],
  ]);
  const { tensors } = readSafetensorsHeader(path);
  const layoutOf = (wanted: string): Layout | undefined => {
    const tensor = tensors.find(({ name }) => name === wanted);
    const dtype = dtypes.get(tensor?.dtype ?? '');
    if (!tensor || !dtype || tensor.shape.length !== 2) return undefined;
    return { path, dtype, rows: tensor.shape[0]!, dimensions: tensor.shape[1]!, offset: tensor.offset };
  };
  const values = layoutOf('embeddings');
  if (!values) throw malformed(path, 'a tensor (N, D) of embeddings', 'none');
  return { values, scales: layoutOf('scales') };
}

async function allRows(layout: Layout | undefined): Promise<Float32Array> {
  const values = new Float32Array((layout?.rows ?? 0) * (layout?.dimensions ?? 0));
  let position = 0;
  for await (const piece of layout ? readRowsAt(layout.path, layout) : []) {
    values.set(piece, position);
    position += piece.length;
  }
  return values;
}

function scaleRows(piece: Float32Array, scales: Float32Array, firstRow: number, dimensions: number): void {
  for (let i = 0; i < piece.length; ++i) piece[i]! *= scales[firstRow + Math.floor(i / dimensions)]!;
}

async function parquetVectors(path: string, dimensions: number): Promise<Float32Array> {
  const rows = await parquetReadObjects({ file: await asyncBufferFromFile(path) });
  const vectors = new Float32Array(rows.length * dimensions);
  for (const [row, { embedding, scale = 1 }] of rows.entries()) {
    const values = embedding as number[];
    if (values.length !== dimensions) throw malformed(path, `${dimensions} values a row`, values.length);
    for (let i = 0; i < dimensions; ++i) vectors[row * dimensions + i] = values[i]! * (scale as number);
  }
  return vectors;
}

function checkShape(path: string, { rows, dimensions }: Layout, shard: ShardRecord, expected: number): void {
  if (rows === shard.rows && dimensions === expected) return;
  throw malformed(path, `shape (${shard.rows}, ${expected})`, `(${rows}, ${dimensions})`);
}

function malformed(path: string, expected: string, received: unknown): XlembedError {
  return new XlembedError(
    'MALFORMED_FILE',
    `expected ${expected} in ${path}, received ${String(received)}`,
    'the shard is not the one that the manifest describes',
  );
}
