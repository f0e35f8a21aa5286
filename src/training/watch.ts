/** A measure that decides which model is the best, and when to stop. */
export interface WatchOptions {
  measure: string;
  /** Evaluations in a row without a better value after which training stops; undefined: never. */
  patience?: number | undefined;
}

/** Plain data, for a checkpoint. */
export interface WatchState {
  best: { step: number; value: number } | null;
  evaluationsSinceBest: number;
}

/** Of these a smaller value is better. */
const lowerIsBetter = (measure: string) => measure === 'loss' || measure === 'language_bias';

/** Follows one measure over the evaluations of a run. */
export class Watch {
  #state: WatchState = { best: null, evaluationsSinceBest: 0 };

  constructor(readonly options: WatchOptions) {}

  get state(): WatchState {
    return { ...this.#state };
  }

  restore(state: WatchState): void {
    this.#state = { ...state };
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
