import { existsSync, readdirSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { checkOptions, requirePath } from '../checked_options.js';
import { XlembedError } from '../errors.js';
import { makeFolder } from '../files/write_file.js';

export interface CheckpointsOptions {
  /** Newest checkpoints that stay; the best one stays too. Default 2. */
  keep?: number | undefined;
}

const schema = z.strictObject({ keep: z.int().min(1).optional() });

const NAME = /^step-(\d{8,})$/;
/** What a run that was killed while writing (files/write_folder.ts) or removing leaves behind. */
const LEFTOVER = /^\.step-.*\.tmp$/;

/** A folder of checkpoints, `step-00000120` and so on. A name that is there is complete. */
export class Checkpoints {
  private constructor(
    readonly folder: string,
    readonly keep: number,
  ) {}

  /** Makes the folder if need be, and clears away what an interrupted run left half-written. */
  static async open(folder: string, options: CheckpointsOptions = {}): Promise<Checkpoints> {
    requirePath('folder', folder);
    checkOptions(schema, options);
    const { keep = 2 } = options;
    await makeFolder(folder);
    for (const name of readdirSync(folder).filter((name) => LEFTOVER.test(name))) {
      await rm(join(folder, name), { recursive: true, force: true });
    }
    return new Checkpoints(folder, keep);
  }

  /** Whether there is a checkpoint in the folder, which may be missing. */
  static areIn(folder: string): boolean {
    return existsSync(folder) && stepsIn(folder).length > 0;
  }

  /** Steps that have a checkpoint, ascending. */
  get steps(): number[] {
    return stepsIn(this.folder);
  }

  /** Folder of the newest checkpoint. */
  get latest(): string | undefined {
    const step = this.steps.at(-1);
    return step === undefined ? undefined : this.folderOf(step);
  }

  folderOf(step: number): string {
    return join(this.folder, `step-${String(step).padStart(8, '0')}`);
  }

  has(step: number): boolean {
    return existsSync(this.folderOf(step));
  }

  /** Removes all but the newest and the best. */
  async prune(best: number | undefined): Promise<void> {
    const old = this.steps.slice(0, -this.keep).filter((step) => step !== best);
    for (const step of old) {
      // Renamed first: what is half removed must not look like a checkpoint.
      const leaving = join(this.folder, `.step-${step}.tmp`);
      await rename(this.folderOf(step), leaving);
      await rm(leaving, { recursive: true, force: true });
    }
  }
}

/**
 * Throws unless these are the checkpoints of a run that has done so many steps: one that is there is not written again,
 * and the newest ones stay, so those of another run would take the place of its own.
 */
export function requireCheckpointsOf(done: number, best: number | undefined, checkpoints: Checkpoints): void {
  const { folder, steps } = checkpoints;
  const newest = steps.at(-1) ?? 0;
  if (newest > done) {
    throw new XlembedError(
      'FILE_EXISTS',
      `${folder} holds a checkpoint of step ${newest}, and this run is at step ${done}`,
      'resume from the newest checkpoint, or remove those of later steps',
    );
  }
  if (best === undefined || best === done || checkpoints.has(best)) return;
  throw new XlembedError(
    'CHECKPOINT_INVALID',
    `the best model so far is that of step ${best}, and its checkpoint is not in ${folder} any more`,
    'put it back, or remove those of later steps too: the run then goes on from before it, or begins anew',
  );
}

function stepsIn(folder: string): number[] {
  const found = readdirSync(folder).flatMap((name) => NAME.exec(name)?.[1] ?? []);
  return found.map(Number).sort((a, b) => a - b);
}
