// One process of several: joins the group that its environment names, takes the jobs of its argument one after another,
// and prints what came out as JSON. Alone, without such an environment, it is the process to compare with.
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ParallelRecord } from '#xlembed/datasets/records.js';
import { Encoder } from '#xlembed/encoding/encoder.js';
import type { XlembedError } from '#xlembed/errors.js';
import type { NativeTrainerOptions, NativeTrainingBatch } from '#xlembed/native.js';
import { ProcessGroup } from '#xlembed/processes/process_group.js';
import type { TrainingOptions } from '#xlembed/training/options.js';
import { Share } from '#xlembed/training/share.js';
import { Trainer } from '#xlembed/training/trainer.js';
import { folderOf, packed, readGolden } from '../encoding/goldens.js';
import { createEncoder, createTrainer } from './native_trainer.js';

/** A run of the public trainer on made-up records, or steps of the native one with labels. */
export type Job =
  | { name: string; options: Partial<TrainingOptions>; seedOfRank?: number }
  | {
      name: string;
      native: Partial<NativeTrainerOptions>;
      labels?: (keyof typeof LABELS)[];
      batches?: number;
    };

export interface Result {
  losses: number[];
  accuracies: number[];
  skipped: boolean[];
  /** SHA-256 of the trained weights, and the sum of their absolute values. */
  hash: string;
  magnitude: number;
  tokens: number[];
  code?: string;
}

const RECORDS: ParallelRecord[] = Array.from({ length: 40 }, (_, n) => ({
  id: `r${n}`,
  query: { a: `w${10 + n} w${12 + (n % 5)}`, b: `w${30 + n}` },
  positive: { a: `w${50 + n} w9 w${n + 3}`, b: `w${70 + n} w8` },
  negatives: { a: [`w${20 + n} w7`, `w${40 + n}`], b: [`w${60 + (n % 7)} w6`] },
}));

const { sequences, pairs } = readGolden('bert');
const passages = sequences.length - pairs;

const teacherScores = () =>
  new Float32Array(pairs * passages).map((_, k) =>
    k % passages === Math.floor(k / passages) ? 1 : k < passages || k % 4 > 0 ? Math.sin(k) : Number.NaN,
  );

/** Of the whole batch, for the native trainer. */
const LABELS = {
  passageGroups: () => Int32Array.from({ length: passages }, (_, j) => (j % 3 === 0 ? 1 : -1)),
  rowWeights: () => Float32Array.from({ length: pairs }, (_, i) => i),
  languages: () => ({
    queryLanguages: Int32Array.from({ length: pairs }, (_, i) => i % 2),
    passageLanguages: Int32Array.from({ length: passages }, (_, j) => (j >> 1) % 2),
  }),
  teacherScores,
  /** One of the last query, which is the last process's, whose square no float32 holds. */
  hugeScore: () => ({ teacherScores: teacherScores().fill(3e38, -passages, 1 - passages) }),
};

async function train(
  { options, seedOfRank = 0 }: Extract<Job, { options: unknown }>,
  processGroup: ProcessGroup | undefined,
): Promise<Result> {
  const model = {
    configPath: `${folderOf('bert')}/config.json`,
    tokenizerPath: `${folderOf('bert')}/tokenizer.json`,
  };
  const encoder = await Encoder.fresh(model, 1 + seedOfRank * (processGroup?.rank ?? 0));
  const folder = mkdtempSync(join(tmpdir(), 'xlembed-'));
  try {
    const given = { batchSize: 10, steps: 5, warmupSteps: 0, learningRate: 1e-3, seed: 5, ...options };
    const trainer = await Trainer.create(encoder, RECORDS, given, { processGroup });
    const result: Result = { losses: [], accuracies: [], skipped: [], tokens: [], hash: '', magnitude: 0 };
    for await (const event of trainer.run()) {
      result.losses.push(event.loss);
      result.accuracies.push(event.accuracy);
      result.skipped.push(event.skipped);
      result.tokens.push(event.tokens);
    }
    await trainer.finishAdapters(join(folder, 'adapter'));
    await encoder.save(join(folder, 'model'));
    const file = readFileSync(join(folder, 'model', 'model.safetensors'));
    const values = new Float32Array(file.buffer.slice(file.byteOffset + 8 + Number(file.readBigUInt64LE(0))));
    result.hash = createHash('sha256').update(file).digest('hex');
    result.magnitude = values.reduce((sum, value) => sum + Math.abs(value), 0);
    return result;
  } finally {
    rmSync(folder, { recursive: true });
    await encoder.dispose();
  }
}

async function step(
  { native, labels = [], batches = 1 }: Extract<Job, { native: unknown }>,
  group: ProcessGroup | undefined,
): Promise<Result> {
  // NCCL wants a GPU for each process: these meet on the CPU, whatever the tests run on.
  const encoder = await createEncoder('bert', { device: 'cpu' });
  const trainer = await createTrainer(encoder, { normalize: true, dropout: true, ...native }, group?.native);
  const share = new Share(pairs, passages, group ?? { rank: 0, size: 1 });
  const all = Object.assign(
    {},
    ...labels.map((name) => {
      const made = LABELS[name]();
      return ArrayBuffer.isView(made) ? { [name]: made } : made;
    }),
  ) as Partial<NativeTrainingBatch>;
  const [queries, answers] = [sequences.slice(0, pairs), sequences.slice(pairs)];
  const batch = {
    ...packed([...share.queries(queries), ...share.passages(answers)]),
    ...share.labels(all),
    queries: share.queries(queries).length,
    ...{ allQueries: pairs, allPassages: passages, learningRate: 1e-3 },
  };
  const result: Result = { losses: [], accuracies: [], skipped: [], tokens: [], hash: '', magnitude: 0 };
  for (let step = 0; step < 3 * batches; ++step) {
    const update = step % batches === batches - 1;
    const { loss, accuracy, skipped } = await trainer.step({ ...batch, step, weight: 1 / batches, update });
    result.losses.push(loss);
    result.accuracies.push(accuracy);
    result.skipped.push(skipped);
  }
  const embeddings = await encoder.encode(packed(sequences));
  result.hash = await trainer.fingerprint();
  result.magnitude = embeddings.reduce((sum, value) => sum + Math.abs(value), 0);
  trainer.dispose();
  encoder.dispose();
  return result;
}

async function take(job: Job, group: ProcessGroup | undefined): Promise<Result> {
  try {
    return 'native' in job ? await step(job, group) : await train(job, group);
  } catch (error) {
    const code = (error as XlembedError).code ?? (error as Error).message;
    return { losses: [], accuracies: [], skipped: [], tokens: [], hash: '', magnitude: 0, code };
  }
}

export async function takeAll(jobs: readonly Job[], group?: ProcessGroup): Promise<Result[]> {
  const results: Result[] = [];
  for (const job of jobs) results.push(await take(job, group));
  return results;
}

if (process.argv[1]?.endsWith('group_process.js')) {
  const group = await ProcessGroup.join({ timeout_ms: 120_000 });
  process.stdout.write(JSON.stringify(await takeAll(JSON.parse(process.argv[2]!), group)));
  await group?.leave();
  process.exit();
}
