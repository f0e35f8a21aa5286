import { XlembedError } from '../errors.js';

/** A measure that decides which model is the best, and when to stop. */
export interface WatchOptions {
  measure: string;
  /** Name of the data that it is measured on: values on other data are not compared with it. */
  task?: string | undefined;
  /** Evaluations in a row without a better value after which training stops; undefined: never. */
  patience?: number | undefined;
}

/** Plain data, for a checkpoint. */
export interface WatchState {
  best: { step: number; value: number } | null;
  evaluationsSinceBest: number;
  /** What `best` is a value of. */
  measure: string;
  task?: string | undefined;
}

/** Of these a smaller value is better. */
const lowerIsBetter = (measure: string) => measure === 'loss' || measure === 'language_bias';

/** Follows one measure over the evaluations of a run. */
export class Watch {
  #state: Pick<WatchState, 'best' | 'evaluationsSinceBest'> = { best: null, evaluationsSinceBest: 0 };

  constructor(readonly options: WatchOptions) {}

  get state(): WatchState {
    const { measure, task } = this.options;
    return { ...this.#state, measure, task };
  }

  restore({ best, evaluationsSinceBest }: WatchState): void {
    this.#state = { best, evaluationsSinceBest };
  }

  get best(): WatchState['best'] {
    return this.#state.best;
  }

  /** True when the patience is used up. */
  get exhausted(): boolean {
    const { patience } = this.options;
    return patience !== undefined && this.#state.evaluationsSinceBest >= patience;
  }

  /** Takes in one evaluation; true for a new best value. A value that is not finite is never better. */
  see(step: number, value: number): boolean {
    const { best } = this.#state;
    const sign = lowerIsBetter(this.options.measure) ? -1 : 1;
    const better = Number.isFinite(value) && (best === null || sign * value > sign * best.value);
    this.#state = better
      ? { best: { step, value }, evaluationsSinceBest: 0 }
      : { best, evaluationsSinceBest: this.#state.evaluationsSinceBest + 1 };
    return better;
  }
}

/** Throws RESUME_REFUSED unless what is watched now is what has chosen the best model so far. */
export function checkSameWatch(before: WatchState, now: WatchOptions | undefined): void {
  if (before.measure === now?.measure && before.task === now.task) return;
  const text = ({ measure, task }: WatchOptions) => (task === undefined ? measure : `${measure} on ${task}`);
  throw new XlembedError(
    'RESUME_REFUSED',
    `the best model so far is that by ${text(before)}, and now ${now ? text(now) : 'nothing'} is watched`,
    'evaluate and watch what was watched before, or start anew with another output',
  );
}
