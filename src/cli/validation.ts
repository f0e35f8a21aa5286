import type { Dataset } from '../batches/options.js';
import type { ParallelRecord } from '../datasets/records.js';
import { splitRecords } from '../datasets/split_records.js';
import type { Encoder } from '../encoding/encoder.js';
import { invalidArgument } from '../errors.js';
import { recordsTask } from '../evaluation/tasks/records_task.js';
import { openTask } from '../evaluation/tasks/registry.js';
import type { RetrievalTask, Task } from '../evaluation/tasks/task.js';
import type { ValidationOptions } from '../training/run_options.js';
import type { Trainer } from '../training/trainer.js';
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

/** What decides by default on a benchmark: the first of these that its kind gives. */
const DECISIVE = [
  ...['multilingual_map', 'monolingual_map', 'cross_lingual_f1'],
  ...['cross_lingual_cosine_spearman', 'monolingual_cosine_spearman'],
];

/** What the flags say of evaluation during training; undefined without any. Throws INVALID_ARGUMENT. */
export async function validationOptions(
  flags: TrainFlags,
  trainer: Trainer,
  encoder: Encoder,
  heldOut: readonly ParallelRecord[],
  console: Console,
): Promise<ValidationOptions | undefined> {
  const { evalTask, evalData, evalRecords } = flags;
  if (evalRecords !== undefined && heldOut.length === 0) {
    throw invalidArgument('--eval-records', 'a number that holds a record out', evalRecords);
  }
  const benchmark =
    evalTask !== undefined && evalData !== undefined
      ? await openTask(evalTask, { data: evalData })
      : undefined;
  if (heldOut.length === 0 && !benchmark) return undefined;
  const loss = heldOut.length > 0 ? trainer.lossOn(heldOut) : undefined;
  const task = benchmark ?? heldOutTask(trainer, heldOut);
  if (!task) console.info('note: no language has query and positive: loss and accuracy alone are evaluated');
  const names = task ? measuresOf(task) : [];
  const { steps, queryPrompt, passagePrompt } = trainer.options;
  const prompts = { query: queryPrompt, passage: passagePrompt };
  const quiet: Console = { ...console, progress: () => ({ update() {}, stop() {} }) };
  return {
    every: flags.evalEvery ?? Math.max(1, Math.ceil(steps / 10)),
    measure: async () => {
      const { measures } = task ? await evaluateEncoder(encoder, task, quiet, { prompts }) : { measures: {} };
      return { ...(await loss?.()), ...pick(measures, names) };
    },
    watch: {
      measure: watchedMeasure(flags, [...(loss ? ['loss', 'accuracy'] : []), ...names]),
      task: task?.name,
      patience: flags.patience,
    },
  };
}

function watchedMeasure({ watch }: TrainFlags, names: readonly string[]): string {
  if (watch === undefined) return ['loss', ...DECISIVE].find((name) => names.includes(name))!;
  if (!names.includes(watch)) throw invalidArgument('--watch', `one of ${names.join(', ')}`, watch);
  return watch;
}

function pick(measures: Record<string, number>, names: readonly string[]): Record<string, number> {
  return Object.fromEntries(names.flatMap((name) => (name in measures ? [[name, measures[name]!]] : [])));
}

/** The measures of the paper (arXiv 2408.10536), as far as the languages give them, and those of other kinds of tasks. */
export function measuresOf(task: Task): string[] {
  switch (task.kind) {
    case 'retrieval':
      return [
        'monolingual_map',
        ...(answersAcross(task) ? ['cross_lingual_map'] : []),
        'multilingual_map',
        ...([...task.qrels.values()].some(({ size }) => size > 1) ? ['language_bias'] : []),
      ];
    case 'collection':
      return ['monolingual_map'];
    case 'bitext':
      return ['cross_lingual_f1'];
    case 'similarity': {
      const kinds = task.sets.map(({ source, target }) =>
        source === target ? 'monolingual' : 'cross_lingual',
      );
      return [...new Set(kinds)].map((kind) => `${kind}_cosine_spearman`);
    }
  }
}

/** Whether a query of one language has an answer in another one. */
function answersAcross(task: RetrievalTask): boolean {
  const languages = new Map(
    task.languages.flatMap((language) => task.candidates(language).map(({ id }) => [id, language] as const)),
  );
  return task.languages.some((language) =>
    task
      .queries(language)
      .some(({ id }) =>
        [...(task.qrels.get(id)?.keys() ?? [])].some((answer) => languages.get(answer) !== language),
      ),
  );
}

/** The training languages alone: what is zero-shot must not choose the model. Undefined where none has both sides. */
function heldOutTask(trainer: Trainer, records: readonly ParallelRecord[]): RetrievalTask | undefined {
  const languages = trainer.sampler.languages.filter((language) =>
    records.some(({ query, positive }) => query[language] && positive[language]),
  );
  return languages.length > 0 ? recordsTask('validation', records, languages) : undefined;
}
