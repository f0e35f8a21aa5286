import { cp, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import { formatSamplerDescription, type SamplerDescription } from '../batches/describe.js';
import { heldOutNotes } from '../batches/held_out.js';
import { UNDETERMINED } from '../datasets/records.js';
import type { Encoder } from '../encoding/encoder.js';
import { XlembedError } from '../errors.js';
import { writeError } from '../files/file_error.js';
import { makeFolder } from '../files/write_file.js';
import { isTaken, replaceFolder, requireReplaceable } from '../files/write_folder.js';
import { snapshotCommit } from '../models/hub.js';
import { MODEL_FOLDER } from '../models/save_model.js';
import { ProcessGroup } from '../processes/process_group.js';
import { RunLock } from '../processes/run_lock.js';
import { renderTrainingReport } from '../report/report.js';
import type { TrainingResults } from '../report/results.js';
import { Checkpoints } from '../training/checkpoints.js';
import { EventLog, LOG_FILE, TENSORBOARD_FOLDER } from '../training/events/event_log.js';
import { Trainer } from '../training/trainer.js';
import { commandLine } from './command_line.js';
import { createConsole, settingsLines, silentConsole } from './console.js';
import { readDatasets } from './datasets.js';
import { checkDependences } from './dependent_flags.js';
import { Interrupt } from './interrupt.js';
import { runTraining, type TrainingTotals } from './run_training.js';
import {
  declareTrain,
  openEncoder,
  type TrainFlags,
  trainingDevice,
  trainingOptions,
} from './train_flags.js';
import { splitValidation, validationOptions } from './validation.js';
import { versions } from './versions.js';

export function addTrain(program: Command): void {
  declareTrain(program).action(train);
}

async function train(flags: TrainFlags, command: Command): Promise<void> {
  checkDependences(command);
  const processGroup = await ProcessGroup.join({
    device: trainingDevice(flags),
    timeout_ms: flags.processTimeout * 1000,
    onNote: (note) => process.stderr.write(`note: ${note}\n`),
  });
  await trainTogether(flags, processGroup);
  await processGroup?.leave();
}

/** In a process group rank 0 keeps the folders and the log, and speaks. */
async function trainTogether(flags: TrainFlags, processGroup: ProcessGroup | undefined): Promise<void> {
  const isFirst = (processGroup?.rank ?? 0) === 0;
  const console = isFirst ? createConsole(flags) : silentConsole();
  const fromFirst = <T>(work: () => Promise<T> | T) => processGroup?.fromFirst(work) ?? work();
  const working = `${flags.output}.partial`;
  const lock = new RunLock(working, join(working, 'lock'));
  await fromFirst(async () => {
    await lock.requireFree();
    await checkFolders(flags, working);
  });
  const read = await readDatasets(flags.data, flags.skipMalformed ? 'skip' : 'fail');
  const data = splitValidation(read, flags.evalRecords ?? 0, flags.seed);
  const encoder = await openEncoder(flags, console);
  const options = trainingOptions(flags, data.datasets);
  const trainer = await Trainer.create(encoder, data.records, options, { processGroup });
  const validation = await validationOptions(flags, trainer, encoder, data.validation, console);
  const sampled = trainer.sampler.describe();
  const settings = settingsOf(flags, trainer, encoder, data);
  const switchedTo = flags.lexicon?.map(({ target }) => target);
  const heldOut = heldOutNotes(flags.holdOut ?? [], read.records, switchedTo);
  const notes = [...encoder.model.notes, ...read.notes, ...heldOut];
  console.info(`settings\n${settingsLines(settings)}\n${formatSamplerDescription(sampled)}`);

  using interrupt = new Interrupt();
  await fromFirst(async () => {
    await makeReady(flags, working, lock);
  });
  const checkpoints = await Checkpoints.open(join(working, 'checkpoints'), { keep: flags.keepCheckpoints });
  const latest = await fromFirst(() => checkpoints.latest);
  if (latest) {
    notes.push(...(await trainer.resume(latest)));
    console.info(`resumed after step ${trainer.steps}`);
  }
  for (const note of notes) console.info(`note: ${note}`);
  const log = isFirst ? await EventLog.open(working, trainer.steps) : undefined;
  const totals = await runTraining(trainer, console, {
    label: 'training',
    failedBatchPath: join(working, 'failed_batch.json'),
    earlier: log?.earlier ?? [],
    validation,
    checkpoints: { to: checkpoints, every: flags.checkpointEvery },
    signal: interrupt.signal,
    onStep: async (event) => {
      await log?.write(event);
      // Several processes stop at a step on which they agree.
      return processGroup !== undefined || interrupt.exitCode === undefined;
    },
  }).finally(() => log?.close());
  const { lossCurve: _curve, ...summary } = totals;
  if (totals.interrupted) {
    console.result(
      `interrupted after step ${totals.steps} of ${trainer.options.steps}; the same command with --resume goes on`,
      { checkpoint: checkpoints.latest, ...summary },
    );
    // Where another process got the signal, this one ends as on SIGTERM.
    process.exitCode = interrupt.exitCode ?? 143;
    await lock.release();
    return;
  }
  if (!isFirst) return;
  await trainer.useBest(checkpoints);
  notes.push(...notesOf(totals, trainer));
  await finish(flags, working, { trainer, encoder, settings, sampled, notes, totals }).catch((cause) => {
    throw writeError(flags.output, cause);
  });
  trainer.dispose();
  await encoder.dispose();
  console.result(doneText(flags, totals, trainer), { output: flags.output, best: trainer.best, ...summary });
}

/** What an interrupted run has left is only ever continued or discarded on purpose. */
async function checkFolders({ output, overwrite, resume }: TrainFlags, working: string): Promise<void> {
  if (overwrite) await requireReplaceable(output, MODEL_FOLDER);
  else if (await isTaken(output)) {
    throw new XlembedError('FILE_EXISTS', `${output} exists`, 'name another --output, or give --overwrite');
  }
  if (overwrite || resume || !Checkpoints.areIn(join(working, 'checkpoints'))) return;
  throw new XlembedError(
    'FILE_EXISTS',
    `${working} holds a run that was interrupted`,
    '--resume goes on with it, --overwrite discards it',
  );
}

async function makeReady({ resume }: TrainFlags, working: string, lock: RunLock): Promise<void> {
  try {
    await makeFolder(working);
    await lock.take();
    if (!resume) await lock.clear();
    await rm(join(working, 'model'), { recursive: true, force: true });
    await makeFolder(join(working, 'checkpoints'));
  } catch (cause) {
    throw writeError(working, cause);
  }
}

function settingsOf(
  flags: TrainFlags,
  trainer: Trainer,
  encoder: Encoder,
  data: { records: unknown[]; validation: unknown[] },
): Record<string, unknown> {
  const { model, config, tokenizer } = flags;
  const { device, dtype } = encoder;
  return {
    ...trainer.options,
    ...{ model, commit: snapshotCommit(encoder.model.folder), config, tokenizer },
    data: flags.data.map(({ path }) => path),
    records: data.records.length,
    ...(data.validation.length > 0 && { evalRecords: data.validation.length }),
    ...{ evalTask: flags.evalTask, maxTokens: encoder.model.maxTokens, device, dtype },
  };
}

/** What happened on the way that a reader of the result must know. */
function notesOf({ skipped, texts, stoppedEarly, steps }: TrainingTotals, { best }: Trainer): string[] {
  return [
    ...(stoppedEarly ? [`stopped early after step ${steps}: the patience was used up`] : []),
    ...(best ? [`the model is that of step ${best.step}, the best by the watched measure`] : []),
    ...(skipped > 0 ? [`${skipped} steps skipped: loss or gradient was not finite`] : []),
    ...(texts.truncated > 0
      ? [`${texts.truncated} of ${texts.tokenized} texts were cut to the longest input`]
      : []),
    ...(texts.replacedSurrogates > 0
      ? [`${texts.replacedSurrogates} lone surrogates replaced by U+FFFD`]
      : []),
  ];
}

interface Finished {
  trainer: Trainer;
  encoder: Encoder;
  settings: Record<string, unknown>;
  sampled: SamplerDescription;
  notes: string[];
  totals: TrainingTotals;
}

/** Model, log, numbers and report as one folder, which appears under its name when it is complete. */
async function finish(flags: TrainFlags, working: string, run: Finished): Promise<void> {
  const { trainer, encoder, settings, sampled, notes, totals } = run;
  const folder = join(working, 'model');
  const adapter = join(working, 'adapter');
  const adapted = await trainer.finishAdapters(adapter);
  await encoder.save(folder);
  if (adapted) await rename(adapter, join(folder, 'adapter'));
  const { lossCurve: _curve, ...summary } = totals;
  const command = commandLine(process.argv.slice(2));
  const record = { command, settings, versions: versions(), notes, best: trainer.best, ...summary };
  await writeFile(join(folder, 'training.json'), `${JSON.stringify(record, null, 2)}\n`);
  const trained = sampled.languages.filter((language) => language !== UNDETERMINED);
  const facts = { ...record, languages: { trained, zeroShot: sampled.heldOutLanguages } };
  await writeFile(join(folder, 'report.html'), await renderTrainingReport(reportOf(facts, totals)));
  // Copied: until the last rename this run can still be killed and resumed.
  for (const name of [LOG_FILE, TENSORBOARD_FOLDER]) {
    await cp(join(working, name), join(folder, name), { recursive: true });
  }
  await makeFolder(join(flags.output, '..'));
  await replaceFolder(folder, flags.output);
  await rm(working, { recursive: true });
}

type Facts = Pick<TrainingResults, 'command' | 'settings' | 'versions' | 'notes' | 'languages'>;

function reportOf(facts: Facts, totals: TrainingTotals): TrainingResults {
  const { sampler, alpha } = facts.settings as { sampler: string; alpha: unknown };
  return {
    ...facts,
    title: 'Training run',
    createdAt: new Date().toISOString(),
    times: { training: totals.seconds },
    run: {
      name: sampler,
      sampler,
      alpha: sampler === 'hybrid' && typeof alpha === 'number' ? alpha : null,
      steps: totals.steps,
      lossCurve: totals.lossCurve,
      validations: totals.validations,
      trainSeconds: totals.seconds,
    },
  };
}

function doneText(flags: TrainFlags, totals: TrainingTotals, { best }: Trainer): string {
  const { steps, seconds, lastLoss, switchRate } = totals;
  return [
    `trained ${steps} steps in ${seconds.toFixed(1)} s, last loss ${lastLoss.toFixed(4)}`,
    ...(switchRate === undefined ? [] : [`${(100 * switchRate).toFixed(1)} % of the words switched`]),
    ...(best ? [`best at step ${best.step}: ${best.value.toFixed(4)}`] : []),
    `model in ${flags.output}`,
  ].join('; ');
}
