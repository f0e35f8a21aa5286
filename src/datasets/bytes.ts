import { createReadStream } from 'node:fs';
import { pipeline, type Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { fileError } from '../files/file_error.js';
import { requireExpected } from './foreign_bytes.js';
import { zstdDecompressed } from './zstd.js';

/** Names the standard input where a path is expected. */
export const STDIN = '-';

/** How far the reading of a file has come. */
export interface ReadProgress {
  /** Bytes read so far, compressed as they lie in the file. */
  bytes: number;
}

/**
 * The bytes of a file, or of the standard input, with .gz and .zst decompressed. Throws FILE_NOT_FOUND and
 * FILE_READ_FAILED, also for a damaged archive.
 */
export async function* readBytes(
  path: string,
  progress: ReadProgress = { bytes: 0 },
): AsyncGenerator<Uint8Array, void, undefined> {
  const file = path === STDIN ? process.stdin : createReadStream(path, { highWaterMark: 2 ** 18 });
  try {
    yield* decompressed(path, requireExpected(path, counted(file, progress)));
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
  return path.endsWith('.zst') ? zstdDecompressed(path, bytes) : bytes;
}
