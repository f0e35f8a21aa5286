import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Encoder } from '../encoding/encoder.js';
import type { Role } from '../models/prompts.js';

/** Beside the tokenizer: settings and added tokens. */
const TOKENIZER_COMPANIONS = ['tokenizer_config.json', 'special_tokens_map.json', 'added_tokens.json'];

/**
 * What an encoder's embeddings depend on besides the texts: weights and tokenizer by their bytes, and how they are put
 * together and run.
 */
export async function modelIdentity(
  encoder: Encoder,
  prompts: Record<Role, string>,
): Promise<Record<string, unknown>> {
  const { model, dtype } = encoder;
  const { backbone, head, lowerCase, maxTokens, tokenizerPath, dictionary } = model;
  const beside = TOKENIZER_COMPANIONS.map((name) => join(dirname(tokenizerPath), name));
  const weights = await digest([...new Set(model.sources.map(({ path }) => path))]);
  return {
    ...{ weights, backbone, head },
    tokenizer: await digest([tokenizerPath, ...beside.filter((path) => existsSync(path))]),
    dictionary: createHash('sha256')
      .update(JSON.stringify([...(dictionary ?? [])]))
      .digest('hex'),
    prompts: [prompts.query, prompts.passage, encoder.promptOf({})],
    ...{ lowerCase, maxTokens, dtype },
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
