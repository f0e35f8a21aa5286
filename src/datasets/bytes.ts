import { createReadStream } from 'node:fs';
import { pipeline, type Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { Decompress } from 'fzstd';
import { fileError } from '../files/file_error.js';

/** Names the standard input where a path is expected. */
export const STDIN = '-';

/** How far the reading of a file has come. */
export interface ReadProgress {
  /** Bytes read so far, compressed as they lie in the file. */
  bytes: number;
}

/**
 * The bytes of a file, or of the standard input, with .gz and .zst decompressed. Throws FILE_NOT_FOUND and
 * FILE_READ_FAILED, also for a damaged .gz and a .zst that does not decode.
 */
export async function* readBytes(
  path: string,
  progress: ReadProgress = { bytes: 0 },
): AsyncGenerator<Uint8Array, void, undefined> {
  const file = path === STDIN ? process.stdin : createReadStream(path, { highWaterMark: 2 ** 18 });
  try {
    yield* decompressed(path, counted(file, progress));
  } catch (cause) {
    throw fileError(path, cause);
  } finally {
    file.destroy();
  }
}

async function* counted(file: Readable, progress: ReadProgress): AsyncGenerator<Uint8Array> {
  for await (const chunk of file as AsyncIterable<Uint8Array>) {
    progress.bytes += chunk.length;
    yield chunk;
  }
}

function decompressed(path: string, bytes: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  // pipeline hands a read error on to the decompressor, whose iteration then throws it.
  if (path.endsWith('.gz')) return pipeline(bytes, createGunzip(), () => {});
  return path.endsWith('.zst') ? zstdDecompressed(bytes) : bytes;
}

/** Node 20 has no Zstandard of its own. fzstd looks at no checksum: damage that still decodes goes unnoticed. */
async function* zstdDecompressed(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const ready: Uint8Array[] = [];
  const decompress = new Decompress((piece) => ready.push(piece));
  let isEmpty = true;
  for await (const chunk of bytes) {
    isEmpty = false;
    decompress.push(chunk);
    yield* ready.splice(0);
  }
  // What a transfer that failed has left, and no archive: an archive of nothing has a frame.
  if (isEmpty) throw new Error('unexpected end of file');
  decompress.push(new Uint8Array(), true);
  yield* ready;
}
