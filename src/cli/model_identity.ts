import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import type { Encoder } from '../encoding/encoder.js';

/** What an encoder's embeddings depend on besides the texts: weights and tokenizer by their bytes, and how it is run. */
export async function modelIdentity(encoder: Encoder): Promise<Record<string, unknown>> {
  const { model, dtype } = encoder;
  const files = [...new Set([...model.sources.map(({ path }) => path), model.tokenizerPath])];
  return {
    weights: await digest(files),
    head: model.head,
    prompts: [encoder.promptOf({ role: 'query' }), encoder.promptOf({ role: 'passage' })],
    maxTokens: model.maxTokens,
    dtype,
  };
}

async function digest(paths: readonly string[]): Promise<string> {
  const hash = createHash('sha256');
  for (const path of paths) {
    for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 }))
      hash.update(chunk as Buffer);
  }
  return hash.digest('hex');
}
