import { XlembedError } from '../errors.js';

/** Loads what decodes by WebAssembly, whose memory takes 10 GB of addresses. Throws OUT_OF_MEMORY where they are not granted. */
export async function loadWebAssembly<T>(load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    const message = `a decoder does not load: ${(cause as Error).message}`;
    throw new XlembedError('OUT_OF_MEMORY', message, 'raise the limit of addresses (ulimit -v) by 10 GB', {
      cause,
    });
  }
}
