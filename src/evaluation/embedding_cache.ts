import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { NpyWriter, readNpyHeader, readNpyRows } from '../datasets/npy.js';
import { XlembedError } from '../errors.js';
import { makeFolder } from '../files/write_file.js';
import type { Embed } from './evaluate.js';

/** Texts in one file: what an interrupted evaluation loses at most. */
const textsPerFile = 4096;

/**
 * Keeps embeddings on disk, in `.npy` files named after what they depend on: `identity` (model, prompts, lengths,
 * dtype), role and texts. The same texts are embedded once, in whatever task; an interrupted evaluation goes on where it
 * stopped. A file takes 4 D bytes a text.
 */
export function cachedEmbed(embed: Embed, folder: string, identity: unknown): Embed {
  return async (texts, role) => {
    const pieces: { data: Float32Array; rows: number; dimensions: number }[] = [];
    for (let first = 0; first < texts.length; first += textsPerFile) {
      const piece = texts.slice(first, first + textsPerFile);
      const path = join(folder, `${hashOf([identity, role, piece])}.npy`);
      pieces.push((await read(path)) ?? (await write(path, await embed(piece, role))));
    }
    return joined(pieces);
  };
}

/** Names a JSON value. */
export function hashOf(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 40);
}

type Rows = Awaited<ReturnType<Embed>>;

/** undefined for what is not there, or is damaged: it is made again. */
async function read(path: string): Promise<Rows | undefined> {
  const header = await readNpyHeader(path).catch((cause) => {
    if (['FILE_NOT_FOUND', 'MALFORMED_FILE'].includes(cause.code)) return undefined;
    throw cause;
  });
  if (!header) return undefined;
  const { rows, dimensions } = header;
  const data = new Float32Array(rows * dimensions);
  let at = 0;
  for await (const piece of readNpyRows(path)) {
    data.set(piece, at);
    at += piece.length;
  }
  return { data, rows, dimensions };
}

async function write(path: string, result: Rows): Promise<Rows> {
  await makeFolder(dirname(path));
  const writer = await NpyWriter.create(path, result.dimensions);
  try {
    await writer.append(result.data);
    await writer.close();
  } catch (cause) {
    await writer.abort();
    throw cause;
  }
  return result;
}

function joined(pieces: readonly Rows[]): Rows {
  if (pieces.length === 1) return pieces[0]!;
  const dimensions = pieces[0]?.dimensions ?? 0;
  if (pieces.some((piece) => piece.dimensions !== dimensions)) {
    throw new XlembedError('DIMENSION_MISMATCH', 'expected embeddings of one length, received several');
  }
  const data = new Float32Array(pieces.reduce((sum, piece) => sum + piece.data.length, 0));
  let at = 0;
  for (const piece of pieces) {
    data.set(piece.data, at);
    at += piece.data.length;
  }
  return { data, rows: pieces.reduce((sum, piece) => sum + piece.rows, 0), dimensions };
}
