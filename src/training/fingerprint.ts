import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import type { ParallelRecord } from '../datasets/records.js';
import type { Encoder } from '../encoding/encoder.js';

/** SHA-256 of what a run is made of, in hexadecimal. */
export interface Fingerprints {
  /** Records and lexicons, in their order. */
  data: string;
  /** Architecture, element type and tokenizer, not the weights: a checkpoint has those. */
  model: string;
}

export async function fingerprintRun(
  encoder: Encoder,
  records: readonly ParallelRecord[],
  lexiconPaths: readonly string[],
): Promise<Fingerprints> {
  const data = createHash('sha256');
  for (const record of records) data.update(`${JSON.stringify(record)}\n`);
  for (const path of lexiconPaths) await pipeline(createReadStream(path), data, { end: false });
  const { backbone, head, maxTokens, lowerCase, similarity, tokenizerPath } = encoder.model;
  const model = createHash('sha256');
  model.update(JSON.stringify({ backbone, head, maxTokens, lowerCase, similarity, dtype: encoder.dtype }));
  await pipeline(createReadStream(tokenizerPath), model, { end: false });
  return { data: data.digest('hex'), model: model.digest('hex') };
}
