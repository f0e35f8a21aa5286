import { existsSync, readFileSync } from 'node:fs';
import { type FileHandle, open, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { XlembedError } from '../../errors.js';
import { writeError } from '../../files/file_error.js';
import { makeFolder, writeFileBeside } from '../../files/write_file.js';
import type { StepEvent } from '../step_event.js';
import { scalarsRecord, versionRecord } from './tensorboard.js';

export interface LoggedStep extends StepEvent {
  /** Seconds since 1970. */
  time: number;
}

export const LOG_FILE = 'training_log.jsonl';
export const TENSORBOARD_FOLDER = 'tensorboard';

/**
 * The steps of a run on disk: a JSON line for each in `training_log.jsonl`, and the same for TensorBoard. A run that goes
 * on from step n keeps the lines up to n; both files are then as if it had never stopped.
 */
export class EventLog {
  private constructor(
    private readonly lines: FileHandle,
    private readonly scalars: FileHandle,
    private readonly folder: string,
    /** Steps that were there. */
    readonly earlier: readonly LoggedStep[],
  ) {}

  /** Throws FILE_WRITE_FAILED, and MALFORMED_LINE for earlier steps that cannot be read. */
  static async open(folder: string, upTo: number): Promise<EventLog> {
    const path = join(folder, LOG_FILE);
    const earlier = readSteps(path, upTo);
    const board = join(folder, TENSORBOARD_FOLDER);
    const begun = earlier[0]?.time ?? Date.now() / 1000;
    const events = `events.out.tfevents.${String(Math.floor(begun)).padStart(10, '0')}.xlembed`;
    return writing(folder, async () => {
      await rm(board, { recursive: true, force: true });
      await makeFolder(board);
      // A kill must not find the lines gone that are to be kept.
      await writeFileBeside(path, (temporary) => writeFile(temporary, earlier.map(lineOf).join('')));
      const records = [versionRecord(begun), ...earlier.map(recordOf)];
      await writeFile(join(board, events), Buffer.concat(records));
      return new EventLog(await open(path, 'a'), await open(join(board, events), 'a'), folder, earlier);
    });
  }

  async write(event: StepEvent): Promise<void> {
    const step = { ...event, time: Date.now() / 1000 };
    await writing(this.folder, async () => {
      await this.lines.appendFile(lineOf(step));
      await this.scalars.appendFile(recordOf(step));
    });
  }

  async close(): Promise<void> {
    await this.lines.close();
    await this.scalars.close();
  }
}

const lineOf = (step: LoggedStep) => `${JSON.stringify(step)}\n`;

const recordOf = (step: LoggedStep) =>
  scalarsRecord({ step: step.step, time: step.time, values: scalarsOf(step) });

async function writing<T>(folder: string, write: () => Promise<T>): Promise<T> {
  try {
    return await write();
  } catch (cause) {
    throw writeError(join(folder, LOG_FILE), cause);
  }
}

/** JSON has no other word for a number that is not finite, such as the loss of a skipped step. */
const notFinite = (_key: string, value: unknown) => (value === null ? Number.NaN : value);

/** Whole lines of steps 1 .. upTo; a kill may have cut the last one short. */
function readSteps(path: string, upTo: number): LoggedStep[] {
  if (upTo === 0 || !existsSync(path)) return [];
  const steps: LoggedStep[] = [];
  for (const [n, line] of readFileSync(path, 'utf8').split('\n').slice(0, -1).entries()) {
    const step = parseStep(path, line, n + 1);
    if (step.step > upTo) break;
    steps.push(step);
  }
  return steps;
}

function parseStep(path: string, line: string, number: number): LoggedStep {
  try {
    return JSON.parse(line, notFinite) as LoggedStep;
  } catch (cause) {
    throw new XlembedError(
      'MALFORMED_LINE',
      `expected a step of the run in ${path} line ${number}, received ${line.slice(0, 80)}`,
      'remove this file: the run then goes on from its checkpoint, its log without the steps before',
      { cause },
    );
  }
}

/** Share of words that were replaced, of both sides together. */
export function switchRate({ switched }: Pick<StepEvent, 'switched'>): number | undefined {
  if (!switched) return undefined;
  const words = switched.query.words + switched.passage.words;
  return words === 0 ? 0 : (switched.query.switched + switched.passage.switched) / words;
}

/** What TensorBoard draws of a step, by tag. */
function scalarsOf(step: StepEvent): Record<string, number> {
  const rate = switchRate(step);
  const validation = Object.entries(step.validation ?? {}).map(([name, value]) => [
    `validation/${name}`,
    value,
  ]);
  return {
    'train/loss': step.loss,
    'train/accuracy_in_batch': step.accuracy,
    'train/learning_rate': step.learningRate,
    'train/gradient_norm': step.gradientNorm,
    ...(rate !== undefined && { 'train/switch_rate': rate }),
    'speed/pairs_per_second': step.pairs / step.seconds,
    'speed/tokens_per_second': step.tokens / step.seconds,
    'time/model_share': (step.modelSeconds + step.optimizerSeconds) / step.seconds,
    'time/loss_share': step.lossSeconds / step.seconds,
    'time/data_share': step.waitSeconds / step.seconds,
    ...Object.fromEntries(validation),
  };
}
