import { readFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { XlembedError } from '../errors.js';
import { sha256OfFile } from '../files/sha256.js';
import { writeFolderBeside } from '../files/write_folder.js';
import { readSafetensorsHeader } from '../models/safetensors.js';
import { writeSafetensors } from '../models/safetensors_writer.js';
import { NATIVE_DTYPES, type StoredTensor } from '../models/stored_tensor.js';
import { type NativeEncoder, type NativeTrainer, nativeCall, type TensorSource } from '../native.js';
import type { WatchState } from './watch.js';

/**
 * Grows with this layout, and when the same options and data give other batches, steps or evaluations: half a run of each
 * would be neither.
 */
const FORMAT = 3;

/** What a checkpoint says beside its tensors. */
export interface CheckpointState {
  /** Of this layout, and of steps that are functions of options, data and number as they are now. */
  format: typeof FORMAT;
  /** Steps done; step n + 1 trains on batch n, which is a function of options, data and n alone. */
  step: number;
  skippedInARow: number;
  watch: WatchState | null;
  /** Of the native trainer. */
  counters: Record<string, number>;
  /** What the run was started with; a run that differs in one of them cannot go on from here. */
  settings: Record<string, unknown>;
  fingerprints: { data: string; model: string };
  versions: Record<string, string>;
}

const schema = z.strictObject({
  format: z.literal(FORMAT),
  step: z.int().min(0),
  skippedInARow: z.int().min(0),
  watch: z
    .strictObject({
      best: z.strictObject({ step: z.int(), value: z.number() }).nullable(),
      evaluationsSinceBest: z.int().min(0),
      measure: z.string(),
      task: z.string().optional(),
    })
    .nullable(),
  counters: z.record(z.string(), z.number()),
  settings: z.record(z.string(), z.unknown()),
  fingerprints: z.strictObject({ data: z.string(), model: z.string() }),
  versions: z.record(z.string(), z.string()),
});

const WEIGHTS = 'weights.safetensors';
const OPTIMIZER = 'optimizer.safetensors';
const STATE = 'state.json';
/** Of the three, as sha256sum writes and checks them. */
const SUMS = 'SHA256SUMS';
const REMEDY = 'remove this checkpoint; the one before it serves';

/**
 * Writes weights, optimizer state and `state` as a folder, complete or not at all. Throws FILE_EXISTS,
 * FILE_WRITE_FAILED.
 */
export async function writeCheckpoint(
  folder: string,
  encoder: NativeEncoder,
  trainer: NativeTrainer,
  state: Omit<CheckpointState, 'format' | 'counters'>,
): Promise<void> {
  await writeFolderBeside(folder, undefined, async (temporary) => {
    await writeSafetensors(join(temporary, WEIGHTS), encoder.parameters(), { format: 'pt' }, (targets) =>
      nativeCall(() => encoder.writeParameters(targets)),
    );
    const { tensors, counters } = await nativeCall(() => trainer.state());
    await writeSafetensors(join(temporary, OPTIMIZER), tensors, {}, (targets) =>
      nativeCall(() => trainer.writeState(targets)),
    );
    const whole: CheckpointState = { format: FORMAT, ...state, counters };
    await writeFile(join(temporary, STATE), `${JSON.stringify(whole, null, 1)}\n`);
    const sums = await Promise.all([WEIGHTS, OPTIMIZER, STATE].map((name) => sumLine(temporary, name)));
    await writeFile(join(temporary, SUMS), sums.join(''));
  });
}

/**
 * Throws CHECKPOINT_INVALID when the folder is not one that writeCheckpoint has written, RESUME_REFUSED when that of
 * another version has.
 */
export async function readCheckpointState(folder: string): Promise<CheckpointState> {
  const path = join(folder, STATE);
  try {
    const state = JSON.parse(readFileSync(path, 'utf8'));
    if (Number.isInteger(state?.format) && state.format !== FORMAT) throw ofAnotherVersion(folder);
    await requireIntact(folder, STATE);
    return schema.parse(state);
  } catch (cause) {
    if (cause instanceof XlembedError) throw cause;
    const what = `${path} is not the state of a training run: ${(cause as Error).message.slice(0, 200)}`;
    throw new XlembedError('CHECKPOINT_INVALID', what, REMEDY, { cause });
  }
}

function ofAnotherVersion(folder: string): XlembedError {
  return new XlembedError(
    'RESUME_REFUSED',
    `${folder} was written by another version of xlembed, whose checkpoints, batches or steps are not those of this one`,
    'end the run with the version that began it, or start anew with --overwrite or another output',
  );
}

async function sumLine(folder: string, name: string): Promise<string> {
  return `${(await sha256OfFile(join(folder, name))).sha256}  ${name}\n`;
}

/** A file cut short shows in its header; a bit that flipped, or a file of another checkpoint, here alone. */
async function requireIntact(folder: string, name: string): Promise<void> {
  try {
    if ((await readFile(join(folder, SUMS), 'utf8')).includes(await sumLine(folder, name))) return;
  } catch (cause) {
    throw new XlembedError('CHECKPOINT_INVALID', (cause as Error).message, REMEDY, { cause });
  }
  const what = `${join(folder, name)} is not what was written: its SHA-256 is not that in ${SUMS}`;
  throw new XlembedError('CHECKPOINT_INVALID', what, REMEDY);
}

/** Reads weights and optimizer state back. Throws CHECKPOINT_INVALID, TENSOR_MISSING, TENSOR_SHAPE_MISMATCH. */
export async function readCheckpointTensors(
  folder: string,
  encoder: NativeEncoder,
  trainer: NativeTrainer,
  { counters }: Pick<CheckpointState, 'counters'>,
): Promise<void> {
  await requireIntact(folder, OPTIMIZER);
  await readCheckpointWeights(folder, encoder);
  await nativeCall(() => trainer.readState(sourcesOf(join(folder, OPTIMIZER)), counters));
}

export async function readCheckpointWeights(folder: string, encoder: NativeEncoder): Promise<void> {
  await requireIntact(folder, WEIGHTS);
  await nativeCall(() => encoder.readParameters(sourcesOf(join(folder, WEIGHTS))));
}

function sourcesOf(path: string): TensorSource[] {
  return headerOf(path).map(({ name, offset, shape, dtype }) => {
    const native = NATIVE_DTYPES[dtype];
    if (!native) throw new XlembedError('CHECKPOINT_INVALID', `${path}: ${name} has element type ${dtype}`);
    return { name, path, offset, shape, dtype: native };
  });
}

function headerOf(path: string): readonly StoredTensor[] {
  try {
    return readSafetensorsHeader(path).tensors;
  } catch (cause) {
    throw new XlembedError('CHECKPOINT_INVALID', (cause as Error).message, REMEDY, { cause });
  }
}

/** What differs between the settings of a checkpoint and of a run, by name; none where a run may go on. */
export function differingSettings(
  stored: Record<string, unknown>,
  current: Record<string, unknown>,
): { name: string; stored: string; current: string }[] {
  const text = (value: unknown) => JSON.stringify(value) ?? 'nothing';
  return [...new Set([...Object.keys(stored), ...Object.keys(current)])]
    .map((name) => ({ name, stored: text(stored[name]), current: text(current[name]) }))
    .filter((setting) => setting.stored !== setting.current);
}
