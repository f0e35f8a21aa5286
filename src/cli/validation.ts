import type { Dataset } from '../batches/options.js';
import type { ParallelRecord } from '../datasets/records.js';
import { splitRecords } from '../datasets/split_records.js';
import type { Encoder } from '../encoding/encoder.js';
import { recordsTask } from '../evaluation/tasks/records_task.js';
import { openTask } from '../evaluation/tasks/registry.js';
import type { RetrievalTask } from '../evaluation/tasks/task.js';
import type { Trainer, ValidationOptions } from '../training/trainer.js';
import type { Console } from './console.js';
import { evaluateEncoder } from './evaluate_encoder.js';
import type { TrainFlags } from './train_flags.js';

export interface SplitData {
  records: ParallelRecord[];
  datasets: Dataset[];
  /** Held out of training, for evaluation. */
  validation: ParallelRecord[];
}

/** Takes about `wanted` records out of the data sets, by a hash of seed and id: the same ones in every run. */
export function splitValidation(
  all: { records: ParallelRecord[]; datasets: Dataset[] },
  wanted: number,
  seed: number,
): SplitData {
  const split: SplitData = { records: [], datasets: [], validation: [] };
  const testShare = Math.min(1, wanted / all.records.length);
  let first = 0;
  for (const dataset of all.datasets) {
    const own = all.records.slice(first, first + dataset.records);
    const { train, test } = splitRecords(own, { testShare, seed });
    split.records.push(...train);
    split.validation.push(...test);
    split.datasets.push({ ...dataset, records: train.length });
    first += dataset.records;
  }
  return split;
}

/** The measures of the paper (arXiv 2408.10536), as far as the languages give them, and those of other kinds of tasks. */
const MEASURES = [
  ...['monolingual_map', 'cross_lingual_map', 'multilingual_map', 'language_bias'],
  ...['cross_lingual_f1', 'monolingual_cosine_spearman', 'cross_lingual_cosine_spearman'],
];

/** What the flags say of evaluation during training; undefined without any. */
export async function validationOptions(
  flags: TrainFlags,
  trainer: Trainer,
  encoder: Encoder,
  heldOut: readonly ParallelRecord[],
  console: Console,
): Promise<ValidationOptions | undefined> {
  const { evalTask, evalData } = flags;
  const benchmark =
    evalTask !== undefined && evalData !== undefined
      ? await openTask(evalTask, { data: evalData })
      : undefined;
  if (heldOut.length === 0 && !benchmark) return undefined;
  const loss = heldOut.length > 0 ? trainer.lossOn(heldOut) : undefined;
  const task = benchmark ?? heldOutTask(trainer, heldOut);
  const { steps, queryPrompt, passagePrompt } = trainer.options;
  const prompts = { query: queryPrompt, passage: passagePrompt };
  const quiet: Console = { ...console, progress: () => ({ update() {}, stop() {} }) };
  return {
    every: flags.evalEvery ?? Math.max(1, Math.ceil(steps / 10)),
    measure: async () => {
      const { measures } = await evaluateEncoder(encoder, task, quiet, { prompts });
      const shown = MEASURES.flatMap((name) => (name in measures ? [[name, measures[name]!] as const] : []));
      return { ...(await loss?.()), ...Object.fromEntries(shown) };
    },
    watch: {
      measure: flags.watch ?? (loss ? 'loss' : 'multilingual_map'),
      task: task.name,
      patience: flags.patience,
    },
  };
}

/** The training languages alone: what is zero-shot must not choose the model. */
function heldOutTask(trainer: Trainer, records: readonly ParallelRecord[]): RetrievalTask {
  const languages = trainer.sampler
    .describe()
    .languages.filter((language) =>
      records.some(({ query, positive }) => query[language] && positive[language]),
    );
  return recordsTask('validation', records, languages);
}
