import { existsSync, readFileSync } from 'node:fs';
import { type FileHandle, mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
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
    /** Steps that were there. */
    readonly earlier: readonly LoggedStep[],
  ) {}

  static async open(folder: string, upTo: number): Promise<EventLog> {
    const path = join(folder, LOG_FILE);
    const earlier = readSteps(path, upTo);
    const board = join(folder, TENSORBOARD_FOLDER);
    await rm(board, { recursive: true, force: true });
    await mkdir(board, { recursive: true });
    const begun = earlier[0]?.time ?? Date.now() / 1000;
    const name = `events.out.tfevents.${String(Math.floor(begun)).padStart(10, '0')}.xlembed`;
    const log = new EventLog(await open(path, 'w'), await open(join(board, name), 'w'), earlier);
    await log.scalars.write(versionRecord(begun));
    for (const step of earlier) await log.#append(step);
    return log;
  }

  async write(event: StepEvent): Promise<void> {
    await this.#append({ ...event, time: Date.now() / 1000 });
  }

  async close(): Promise<void> {
    await this.lines.close();
    await this.scalars.close();
  }

  async #append(step: LoggedStep): Promise<void> {
    await this.lines.write(`${JSON.stringify(step)}\n`);
    await this.scalars.write(scalarsRecord({ step: step.step, time: step.time, values: scalarsOf(step) }));
  }
}

/** JSON has no other word for a number that is not finite, such as the loss of a skipped step. */
const notFinite = (_key: string, value: unknown) => (value === null ? Number.NaN : value);

/** Whole lines of steps 1 .. upTo; a kill may have cut the last one short. */
function readSteps(path: string, upTo: number): LoggedStep[] {
  if (upTo === 0 || !existsSync(path)) return [];
  const steps: LoggedStep[] = [];
  for (const line of readFileSync(path, 'utf8').split('\n').slice(0, upTo)) {
    if (line === '') break;
    steps.push(JSON.parse(line, notFinite) as LoggedStep);
  }
  return steps;
}

/** Share of words that were replaced, of both sides together. */
export function switchRate({ switched }: Pick<StepEvent, 'switched'>): number | undefined {
  if (!switched) return undefined;
  const words = switched.query.words + switched.passage.words;
  return words === 0 ? 0 : (switched.query.switched + switched.passage.switched) / words;
}

/** What TensorBoard draws of a step, by tag. */
export function scalarsOf(step: StepEvent): Record<string, number> {
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
