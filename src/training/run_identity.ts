import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import type { ParallelRecord } from '../datasets/records.js';
import type { Encoder } from '../encoding/encoder.js';
import { XlembedError } from '../errors.js';
import { tokenizerFilesOf } from '../models/tokenizer_files.js';
import { loadNative } from '../native.js';
import { type CheckpointState, differingSettings } from './checkpoint.js';
import type { TrainingOptions } from './options.js';

/** SHA-256 of what a run is made of, in hexadecimal. */
export interface Fingerprints {
  /** Records and lexicons, in their order. */
  data: string;
  /** Architecture, element type and tokenizer, not the weights: a checkpoint has those. */
  model: string;
}

/** What a run is made of, and what its checkpoints must have been made of. */
export class RunIdentity {
  #fingerprints: Promise<Fingerprints> | undefined;

  constructor(
    private readonly encoder: Encoder,
    private readonly records: readonly ParallelRecord[],
    private readonly options: TrainingOptions,
  ) {}

  fingerprints(): Promise<Fingerprints> {
    const lexicons = this.options.codeSwitching?.lexicons ?? [];
    this.#fingerprints ??= fingerprint(
      this.encoder,
      this.records,
      lexicons.map(({ path }) => path),
    );
    return this.#fingerprints;
  }

  /** For a checkpoint. */
  async state(): Promise<Pick<CheckpointState, 'settings' | 'fingerprints' | 'versions'>> {
    return {
      settings: { ...this.options },
      fingerprints: await this.fingerprints(),
      versions: versionsHere(),
    };
  }

  /** Gives what differs from a checkpoint without harm. Throws RESUME_REFUSED where it is another run's. */
  async compare(
    checkpoint: string,
    { settings, fingerprints, versions }: CheckpointState,
  ): Promise<string[]> {
    const own = await this.fingerprints();
    const [setting] = differingSettings(settings, { ...this.options });
    if (setting) {
      throw refused(checkpoint, `${setting.name} was ${setting.stored} and is now ${setting.current}`);
    }
    if (fingerprints.data !== own.data) {
      throw refused(checkpoint, 'records or lexicons are not those of before');
    }
    if (fingerprints.model !== own.model) {
      throw refused(checkpoint, 'architecture or tokenizer are not those of before');
    }
    return differingSettings(versions, versionsHere()).map(
      ({ name, stored, current }) => `${name} was ${stored} and is now ${current}`,
    );
  }
}

async function fingerprint(
  encoder: Encoder,
  records: readonly ParallelRecord[],
  lexiconPaths: readonly string[],
): Promise<Fingerprints> {
  const data = createHash('sha256');
  for (const record of records) data.update(`${JSON.stringify(record)}\n`);
  for (const path of lexiconPaths) await pipeline(createReadStream(path), data, { end: false });
  const { backbone, head, maxTokens, lowerCase, similarity, tokenizerPath, dictionary } = encoder.model;
  const model = createHash('sha256');
  model.update(JSON.stringify({ backbone, head, maxTokens, lowerCase, similarity, dtype: encoder.dtype }));
  if (dictionary) model.update(JSON.stringify([...dictionary]));
  for (const path of tokenizerFilesOf(tokenizerPath))
    await pipeline(createReadStream(path), model, { end: false });
  return { data: data.digest('hex'), model: model.digest('hex') };
}

/** Bits may depend on them, yet another version may go on with a run. */
function versionsHere(): CheckpointState['versions'] {
  const { libtorch, cpuCapability, threads } = loadNative().info();
  return { libtorch, cpuCapability, threads: String(threads) };
}

function refused(checkpoint: string, what: string): XlembedError {
  return new XlembedError(
    'RESUME_REFUSED',
    `${checkpoint} belongs to another run: ${what}`,
    'start with the options and data of before, or start anew with another output',
  );
}
