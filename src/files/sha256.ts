import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';

/** In hexadecimal. */
export async function sha256OfFile(path: string): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash('sha256');
  // One buffer for all: a stream leaves a new one behind for every piece, until they are collected.
  const buffer = Buffer.allocUnsafe(2 ** 18);
  const file = await open(path, 'r');
  try {
    let bytes = 0;
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, bytes);
      if (bytesRead === 0) return { bytes, sha256: hash.digest('hex') };
      hash.update(buffer.subarray(0, bytesRead));
      bytes += bytesRead;
    }
  } finally {
    await file.close();
  }
}
