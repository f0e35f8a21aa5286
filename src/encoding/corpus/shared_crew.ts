import { setTimeout as sleep } from 'node:timers/promises';
import { XlembedError } from '../../errors.js';
import { type NativeStore, nativeCall } from '../../native.js';
import type { Launch } from '../../processes/launch.js';
import { type JoinOptions, openSharedStore, POLL_MS } from '../../processes/shared_store.js';
import type { Crew } from './crew.js';

export interface SharedCrewOptions extends JoinOptions {
  /** A process that gives no sign of life for so long is lost. Default 15 seconds. */
  lostAfter_ms?: number | undefined;
}

/**
 * Processes that take shards from a shared counter. Everything in the store is an integer that grows by `add`:
 *   next           shards taken
 *   tries/NAME     how many processes have taken NAME, a shard or another piece of work
 *   taker/NAME/N   rank + 1 of the Nth
 *   beat/RANK      grows while the process lives
 *   left/RANK      1 when it has said goodbye
 * Work is in good hands while one of its takers lives; else another takes it. Two that take the same write the same bytes.
 */
export class SharedCrew implements Crew {
  readonly #pulse: NodeJS.Timeout;
  readonly #beats = new Map<number, { value: number; since: number }>();

  private constructor(
    private readonly store: NativeStore,
    private readonly launch: Launch,
    private readonly prefix: string,
    private readonly lostAfter_ms: number,
  ) {
    const beat = () => void this.#add(`beat/${this.rank}`, 1).catch(() => {});
    this.#pulse = setInterval(beat, lostAfter_ms / 5);
    beat();
  }

  /** `job` tells this corpus from others of the same launch. Throws PROCESS_LOST when nobody serves the store. */
  static async join(launch: Launch, job: string, options: SharedCrewOptions = {}): Promise<SharedCrew> {
    const store = await openSharedStore(launch, options);
    return new SharedCrew(store, launch, `xlembed/${launch.attempt}/${job}`, options.lostAfter_ms ?? 15_000);
  }

  get rank(): number {
    return this.launch.rank;
  }

  get size(): number {
    return this.launch.size;
  }

  async prepare(work: () => Promise<void>): Promise<void> {
    if (this.rank === 0) {
      await work();
      await this.#add('prepared', 1);
      return;
    }
    while ((await this.#add('prepared', 0)) === 0) {
      if (await this.#isLost(0)) {
        throw new XlembedError(
          'PROCESS_LOST',
          'the process of rank 0 has ended before it made the output folder ready',
          'its own error says why; it may have been given another folder or other inputs',
        );
      }
      await sleep(POLL_MS);
    }
  }

  async next(): Promise<number> {
    const shard = (await this.#add('next', 1)) - 1;
    await this.#register(shard, await this.#add(`tries/${shard}`, 1));
    return shard;
  }

  async takeOver(unfinished: () => number[]): Promise<number[]> {
    for (;;) {
      const open = unfinished();
      if (open.length === 0) return [];
      const mine: number[] = [];
      for (const shard of open) if (await this.#takeIfFree(shard)) mine.push(shard);
      if (mine.length > 0) return mine;
      await sleep(POLL_MS);
    }
  }

  async conclude(work: () => Promise<void>, done: () => boolean): Promise<void> {
    while (!done()) {
      if (await this.#takeIfFree('conclusion')) return work();
      await sleep(POLL_MS);
    }
  }

  /** The process that serves the store stays until no other needs it. */
  async leave(): Promise<void> {
    try {
      await this.#add(`left/${this.rank}`, 1);
      const serves = this.rank === 0 && !this.launch.launcherServes;
      while (serves && !(await this.#othersAreGone())) await sleep(POLL_MS);
    } catch {
      // The store is gone, and with it the need for a goodbye.
    } finally {
      clearInterval(this.#pulse);
      this.store.dispose();
    }
  }

  async #takeIfFree(name: number | string): Promise<boolean> {
    const tries = await this.#add(`tries/${name}`, 0);
    for (let n = 1; n <= tries; ++n) {
      const taker = (await this.#add(`taker/${name}/${n}`, 0)) - 1;
      // What this process has taken it has ended, by the time that it asks.
      if (taker >= 0 && taker !== this.rank && !(await this.#isLost(taker))) return false;
    }
    const mine = await this.#add(`tries/${name}`, 1);
    if (mine !== tries + 1) return false;
    await this.#register(name, mine);
    return true;
  }

  async #register(name: number | string, n: number): Promise<void> {
    await this.#add(`taker/${name}/${n}`, this.rank + 1);
  }

  async #othersAreGone(): Promise<boolean> {
    for (let rank = 1; rank < this.size; ++rank) if (!(await this.#isLost(rank))) return false;
    return true;
  }

  /** It has said goodbye, or its pulse stands still. */
  async #isLost(rank: number): Promise<boolean> {
    if ((await this.#add(`left/${rank}`, 0)) > 0) return true;
    const value = await this.#add(`beat/${rank}`, 0);
    const seen = this.#beats.get(rank);
    if (seen?.value !== value) this.#beats.set(rank, { value, since: performance.now() });
    return seen?.value === value && performance.now() - seen.since > this.lostAfter_ms;
  }

  #add(key: string, amount: number): Promise<number> {
    return nativeCall(() => this.store.add(`${this.prefix}/${key}`, amount));
  }
}
