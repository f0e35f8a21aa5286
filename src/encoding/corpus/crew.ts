/** The processes that share one corpus. */
export interface Crew {
  readonly rank: number;
  readonly size: number;
  /** Runs `work` in one process; the others go on when it is done. */
  prepare(work: () => Promise<void>): Promise<void>;
  /** The next shard that no process has taken. */
  next(): Promise<number>;
  /**
   * Those of the unfinished shards that this process takes over because the process that took them is gone; waits while
   * all of them are in living hands. `unfinished` is asked again and again; [] when it gives none.
   */
  takeOver(unfinished: () => number[]): Promise<number[]>;
  /** Runs `work` in one process, unless it is `done`; the others wait until it is. */
  conclude(work: () => Promise<void>, done: () => boolean): Promise<void>;
  /** Says goodbye: whatever this process holds is free. */
  leave(): Promise<void>;
}

/** One process. */
export class Alone implements Crew {
  readonly rank = 0;
  readonly size = 1;
  #next = 0;

  prepare(work: () => Promise<void>): Promise<void> {
    return work();
  }

  async next(): Promise<number> {
    return this.#next++;
  }

  async takeOver(unfinished: () => number[]): Promise<number[]> {
    return unfinished();
  }

  conclude(work: () => Promise<void>): Promise<void> {
    return work();
  }

  async leave(): Promise<void> {}
}
