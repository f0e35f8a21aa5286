import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import type { ParallelRecord } from '#xlembed/datasets/records.js';
import { Encoder } from '#xlembed/encoding/encoder.js';
import { Checkpoints } from '#xlembed/training/checkpoints.js';
import type { TrainingOptions } from '#xlembed/training/options.js';
import type { RunOptions } from '#xlembed/training/run_options.js';
import type { StepEvent } from '#xlembed/training/step_event.js';
import { Trainer } from '#xlembed/training/trainer.js';
import { folderOf } from '../encoding/goldens.js';

export const MODEL = {
  configPath: `${folderOf('bert')}/config.json`,
  tokenizerPath: `${folderOf('bert')}/tokenizer.json`,
};
export const RECORDS: ParallelRecord[] = Array.from({ length: 24 }, (_, n) => ({
  id: `r${n}`,
  query: { a: `w${10 + n}`, b: `w${30 + n}` },
  positive: { a: `w${50 + n} w9`, b: `w${70 + n} w8` },
}));
export const OPTIONS: Partial<TrainingOptions> = { batchSize: 6, steps: 12, learningRate: 1e-2, seed: 5 };

export const folder = mkdtempSync(join(tmpdir(), 'xlembed-'));
after(() => rmSync(folder, { recursive: true }));
let folders = 0;
export const fresh = (keep?: number) =>
  Checkpoints.open(join(folder, String(folders++)), keep === undefined ? {} : { keep });

interface Outcome {
  hash: string;
  events: StepEvent[];
}

/** One process's share of a run: from the newest checkpoint to the end, or to the step where it is left. */
export async function train(
  checkpoints: Checkpoints | undefined,
  {
    until = 0,
    options = {},
    records = RECORDS,
    run = {},
    every = 4,
  }: {
    until?: number;
    options?: Partial<TrainingOptions>;
    records?: ParallelRecord[];
    run?: RunOptions;
    every?: number;
  } = {},
): Promise<Outcome & { trainer: Trainer }> {
  const encoder = await Encoder.fresh(MODEL, 1);
  try {
    const trainer = await Trainer.create(encoder, records, { ...OPTIONS, ...options });
    if (checkpoints?.latest) await trainer.resume(checkpoints.latest);
    const events: StepEvent[] = [];
    const saved = checkpoints && { checkpoints: { to: checkpoints, every } };
    for await (const event of trainer.run({ ...saved, ...run })) {
      events.push(event);
      if (event.step === until) break;
    }
    if (checkpoints) await trainer.useBest(checkpoints);
    await trainer.finishAdapters(join(folder, `adapter-${folders++}`));
    return { trainer, events, hash: await hashOf(encoder) };
  } finally {
    await encoder.dispose();
  }
}

async function hashOf(encoder: Encoder): Promise<string> {
  const path = join(folder, `model-${folders++}`);
  await encoder.save(path);
  return createHash('sha256')
    .update(readFileSync(join(path, 'model.safetensors')))
    .digest('hex');
}
