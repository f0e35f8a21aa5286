import { existsSync } from 'node:fs';
import { mkdir, open, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import { formatSamplerDescription } from '../batches/describe.js';
import { UNDETERMINED } from '../datasets/records.js';
import { XlembedError } from '../errors.js';
import { snapshotCommit } from '../models/hub.js';
import { renderTrainingReport } from '../report/report.js';
import type { TrainingResults } from '../report/results.js';
import { Trainer } from '../training/trainer.js';
import { createConsole, settingsLines } from './console.js';
import { readDatasets } from './datasets.js';
import { Interrupt } from './interrupt.js';
import { runTraining, type TrainingTotals } from './run_training.js';
import { declareTrain, openEncoder, type TrainFlags, trainingOptions } from './train_flags.js';
import { versions } from './versions.js';

export function addTrain(program: Command): void {
  declareTrain(program).action(train);
}

async function train(flags: TrainFlags): Promise<void> {
  const console = createConsole(flags);
  checkOutput(flags);
  const onMalformed = flags.skipMalformed ? 'skip' : 'fail';
  const { records, datasets, skipped } = await readDatasets(flags.data, onMalformed);
  const encoder = await openEncoder(flags, console);
  const trainer = await Trainer.create(encoder, records, trainingOptions(flags, encoder, datasets));
  const { model, config, tokenizer } = flags;
  const data = flags.data.map(({ path }) => path);
  const { device, dtype } = encoder;
  const { maxTokens } = encoder.model;
  const commit = snapshotCommit(encoder.model.folder);
  const files = { model, commit, config, tokenizer, data, records: records.length };
  const settings = { ...trainer.options, ...files, maxTokens, device, dtype };
  const sampled = trainer.sampler.describe();
  const notes = [...encoder.model.notes, ...skipped];
  console.info(`settings\n${settingsLines(settings)}\n${formatSamplerDescription(sampled)}`);
  for (const note of notes) console.info(`note: ${note}`);

  using interrupt = new Interrupt();
  const working = `${flags.output}.partial`;
  await rm(working, { recursive: true, force: true });
  await mkdir(working, { recursive: true });
  const totals = await runSteps(trainer, working, console, interrupt);
  notes.push(...notesOf(totals));
  const { queryPrompt, passagePrompt } = trainer.options;
  const prompts = { ...encoder.model.prompts, query: queryPrompt, passage: passagePrompt };
  await encoder.save(flags.output, { overwrite: flags.overwrite ?? false, prompts });
  const { lossCurve, ...summary } = totals;
  const record = {
    command: ['xlembed', ...process.argv.slice(2)].join(' '),
    settings,
    versions: versions(),
    notes,
    ...summary,
  };
  await writeFile(join(working, 'training.json'), `${JSON.stringify(record, null, 2)}\n`);
  const trained = sampled.languages.filter((language) => language !== UNDETERMINED);
  const facts = { ...record, languages: { trained, zeroShot: sampled.heldOutLanguages } };
  await writeFile(join(working, 'report.html'), await renderTrainingReport(reportOf(facts, totals)));
  await moveInto(flags.output, working);
  trainer.dispose();
  await encoder.dispose();
  console.result(
    `trained ${totals.steps} steps in ${totals.seconds.toFixed(1)} s, last loss ${totals.lastLoss.toFixed(4)}; model in ${flags.output}`,
    { output: flags.output, ...summary },
  );
  if (interrupt.exitCode !== undefined) process.exitCode = interrupt.exitCode;
}

function checkOutput({ output, overwrite }: TrainFlags): void {
  if (!existsSync(output) || overwrite) return;
  throw new XlembedError('FILE_EXISTS', `${output} exists`, 'name another --output, or give --overwrite');
}

/** Trains to the end or to an interrupt, a JSON line for each step in `working`/training_log.jsonl. */
async function runSteps(
  trainer: Trainer,
  working: string,
  console: ReturnType<typeof createConsole>,
  interrupt: Interrupt,
) {
  const log = await open(join(working, 'training_log.jsonl'), 'w');
  try {
    return await runTraining(trainer, console, {
      label: 'training',
      failedBatchPath: join(working, 'failed_batch.json'),
      onStep: async (event) => {
        await log.write(`${JSON.stringify(event)}\n`);
        return interrupt.exitCode === undefined;
      },
    });
  } finally {
    await log.close();
  }
}

/** What happened on the way that a reader of the result must know. */
function notesOf({ interrupted, steps, skipped, texts }: TrainingTotals): string[] {
  return [
    ...(interrupted ? [`interrupted after step ${steps}`] : []),
    ...(skipped > 0 ? [`${skipped} steps skipped: loss or gradient was not finite`] : []),
    ...(texts.truncated > 0
      ? [`${texts.truncated} of ${texts.tokenized} texts were cut to the longest input`]
      : []),
    ...(texts.replacedSurrogates > 0
      ? [`${texts.replacedSurrogates} lone surrogates replaced by U+FFFD`]
      : []),
  ];
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
      trainSeconds: totals.seconds,
    },
  };
}

/** The files of a finished run join the model; `working` goes. */
async function moveInto(folder: string, working: string): Promise<void> {
  for (const file of ['training_log.jsonl', 'training.json', 'report.html']) {
    await rename(join(working, file), join(folder, file));
  }
  await rm(working, { recursive: true });
}
