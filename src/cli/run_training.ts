import type { TrainingPoint, ValidationPoint } from '../report/results.js';
import type { TokenCacheCounts } from '../tokenizers/token_cache.js';
import { switchRate } from '../training/events/event_log.js';
import type { RunOptions } from '../training/run_options.js';
import type { StepEvent } from '../training/step_event.js';
import type { Trainer } from '../training/trainer.js';
import type { Console } from './console.js';

export interface TrainingTotals {
  steps: number;
  pairs: number;
  tokens: number;
  /** Steps whose loss or gradient was not finite. */
  skipped: number;
  lastLoss: number;
  /** True when onStep ended the run before its last step. */
  interrupted: boolean;
  /** True when the watched measure ended the run before its last step. */
  stoppedEarly: boolean;
  /** Of all steps, those before a resume included. */
  seconds: number;
  /** Share of the words that code switching replaced; absent without it. */
  switchRate?: number;
  /** Texts tokenised since the start or resume, and what was done to them. */
  texts: TokenCacheCounts;
  lossCurve: TrainingPoint[];
  validations: ValidationPoint[];
}

export interface RunTrainingOptions extends RunOptions {
  label: string;
  /** Steps of the same run before a resume. */
  earlier?: readonly StepEvent[];
  /** Called after each step; false ends the run. */
  onStep?: (event: StepEvent) => Promise<boolean> | boolean;
}

/** Runs a trainer to its end with a progress line, and adds up what happened. */
export async function runTraining(
  trainer: Trainer,
  console: Console,
  { label, earlier = [], onStep, ...run }: RunTrainingOptions,
): Promise<TrainingTotals> {
  const progress = console.progress(label, trainer.options.steps);
  const sums = new Sums();
  for (const event of earlier) sums.add(event);
  const shares = new Shares();
  let chunkTokens = trainer.options.chunkTokens;
  let interrupted = false;
  try {
    for await (const event of trainer.run(run)) {
      sums.add(event);
      shares.add(event);
      progress.update(event.step, `${stepLine(event)} | ${shares.text()}`);
      if (event.chunkTokens !== chunkTokens) {
        console.info(memoryLine(event));
        chunkTokens = event.chunkTokens;
      }
      if (event.validation) console.info(validationLine(event));
      const goOn = (await onStep?.(event)) ?? true;
      interrupted = (!goOn || event.stopping === true) && event.step < trainer.options.steps;
      if (!goOn) break;
    }
  } finally {
    progress.stop();
  }
  const stoppedEarly = !interrupted && trainer.steps < trainer.options.steps;
  return { ...sums.totals(), interrupted, stoppedEarly, texts: { ...trainer.textCounts } };
}

class Sums {
  readonly #lossCurve: TrainingPoint[] = [];
  readonly #validations: ValidationPoint[] = [];
  readonly #counts = { steps: 0, pairs: 0, tokens: 0, skipped: 0, seconds: 0, lastLoss: Number.NaN };
  #switched: { words: number; switched: number } | undefined;

  add(event: StepEvent): void {
    const { step, loss, accuracy, learningRate, switched, validation } = event;
    this.#counts.steps = step;
    this.#counts.pairs += event.pairs;
    this.#counts.tokens += event.tokens;
    this.#counts.skipped += event.skipped ? 1 : 0;
    this.#counts.seconds += event.seconds;
    this.#counts.lastLoss = loss;
    const rate = switchRate(event);
    this.#lossCurve.push({
      ...{ step, loss, accuracy, learningRate },
      ...(rate !== undefined && { switchRate: rate }),
    });
    if (validation) this.#validations.push({ step, measures: validation });
    if (!switched) return;
    this.#switched ??= { words: 0, switched: 0 };
    this.#switched.words += switched.query.words + switched.passage.words;
    this.#switched.switched += switched.query.switched + switched.passage.switched;
  }

  totals() {
    const { words, switched } = this.#switched ?? { words: 0, switched: 0 };
    return {
      ...this.#counts,
      ...(this.#switched && { switchRate: words === 0 ? 0 : switched / words }),
      lossCurve: this.#lossCurve,
      validations: this.#validations,
    };
  }
}

/** Where the time of the steps goes. */
class Shares {
  #seconds = 0;
  #model = 0;
  #loss = 0;
  #wait = 0;

  add(event: StepEvent): void {
    this.#seconds += event.seconds;
    this.#model += event.modelSeconds + event.optimizerSeconds;
    this.#loss += event.lossSeconds;
    this.#wait += event.waitSeconds;
  }

  text(): string {
    const percent = (part: number) => `${((100 * part) / this.#seconds).toFixed(0)} %`;
    return `model ${percent(this.#model)}, loss ${percent(this.#loss)}, data ${percent(this.#wait)}`;
  }
}

function stepLine(event: StepEvent): string {
  const { loss, accuracy, learningRate, pairs, tokens, seconds } = event;
  const rate = switchRate(event);
  return [
    `loss ${loss.toFixed(3)}`,
    `accuracy in batch ${accuracy.toFixed(2)}`,
    `learning rate ${learningRate.toExponential(1)}`,
    `${(pairs / seconds).toFixed(0)} pairs/s`,
    `${(tokens / seconds).toFixed(0)} tokens/s`,
    ...(rate === undefined ? [] : [`switched ${(100 * rate).toFixed(0)} %`]),
  ].join(' | ');
}

const memoryLine = ({ step, chunkTokens }: StepEvent): string =>
  `memory ran out in step ${step}: from here on in chunks of ${chunkTokens} tokens (--chunk-tokens); the loss is the same`;

function validationLine({ step, validation, best }: StepEvent): string {
  const shown = Object.entries(validation!).map(([name, value]) => `${name} ${value.toFixed(4)}`);
  return `after step ${step}: ${shown.join(', ')}${best ? ' (best so far)' : ''}`;
}
