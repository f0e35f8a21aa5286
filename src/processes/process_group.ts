import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { checkOptions, functionSchema } from '../checked_options.js';
import { XlembedError } from '../errors.js';
import { loadNative, type NativeProcessGroup, nativeCall } from '../native.js';
import { type Launch, readLaunch } from './launch.js';
import { type JoinOptions, openSharedStore, POLL_MS, type SharedStore } from './shared_store.js';

export interface ProcessGroupOptions extends JoinOptions {
  /** Where the tensors to exchange lie: `cpu` (by Gloo) or `cuda:N` (by NCCL). Default `cpu`. */
  device?: string | undefined;
  /** How long a process waits for another, in one exchange and at the start. Default 5 minutes. */
  timeout_ms?: number | undefined;
  /** Default: what the launcher has put into the environment. */
  launch?: Launch | undefined;
}

const schema = z
  .strictObject({
    device: z.string(),
    timeout_ms: z.number().positive(),
    connect_ms: z.number().positive(),
    answer_ms: z.number().positive(),
    onNote: functionSchema,
    launch: z.unknown(),
  })
  .partial();

const DEFAULT_TIMEOUT_MS = 300_000;
/** While the first process works for all, it shows that it lives so often; without a sign for the timeout it is lost. */
const BEAT_MS = 1000;
/** The process that serves the store waits so long for the goodbye of the others. */
const GOODBYE_MS = 10_000;

/** Groups joined by this process, each with its own part of the store; the same in all processes. */
let joined = 0;

/**
 * The processes that a launcher (torchrun, srun, Kubeflow, Ray) has started for one job. All make the same calls in the
 * same order. A process that is gone or stuck ends the calls of the others with PROCESS_LOST: at once where its
 * connection is closed, else after the timeout.
 *
 *     const processGroup = await ProcessGroup.join({ device: 'cpu' });
 *     const trainer = await Trainer.create(encoder, records, options, { processGroup });
 *     for await (const event of trainer.run()) if (processGroup?.rank === 0) console.log(event.loss);
 *     await processGroup?.leave();
 */
export class ProcessGroup {
  #calls = 0;

  private constructor(
    readonly native: NativeProcessGroup,
    private readonly store: SharedStore,
    private readonly launch: Launch,
    private readonly prefix: string,
    private readonly timeout_ms: number,
  ) {}

  /**
   * Returns when all processes have joined; undefined for a process on its own. Throws PROCESS_LOST when they do not come
   * within the timeout, INVALID_ARGUMENT for an environment that no launcher makes, DEVICE_UNAVAILABLE for a GPU in a
   * build without NCCL.
   */
  static async join(options: ProcessGroupOptions = {}): Promise<ProcessGroup | undefined> {
    checkOptions(schema, options);
    const { device = 'cpu', timeout_ms = DEFAULT_TIMEOUT_MS, launch = readLaunch() } = options;
    if (!launch) return undefined;
    const { rank, size, attempt } = launch;
    const { connect_ms = timeout_ms, answer_ms = timeout_ms, onNote } = options;
    const store = await openSharedStore(launch, { connect_ms, answer_ms, onNote });
    const prefix = `xlembed/${attempt}/group/${joined++}`;
    try {
      const machines = await new Board(store, launch, prefix, timeout_ms).collect('machine', thisMachine());
      const native = await nativeCall(() =>
        loadNative().createProcessGroup(store.native, {
          ...{ name: `${prefix}/c10d`, rank, size, device, timeout_ms },
          interface: process.env.GLOO_SOCKET_IFNAME ?? '',
          loopback: machines.every((machine) => machine === machines[0]),
        }),
      );
      return new ProcessGroup(native, store, launch, prefix, timeout_ms);
    } catch (error) {
      store.dispose();
      throw error;
    }
  }

  get rank(): number {
    return this.launch.rank;
  }

  get size(): number {
    return this.launch.size;
  }

  /**
   * Runs `work` in the process of rank 0, and gives its result (as JSON carries it) to all. The others wait as long as it
   * takes; they throw PROCESS_LOST where `work` has failed or its process is gone.
   */
  async fromFirst<T>(work: () => Promise<T> | T): Promise<T> {
    const name = `first/${this.#calls++}`;
    const board = this.#board();
    return this.rank === 0 ? board.workForAll(name, work) : board.waitForFirst<T>(name);
  }

  /**
   * Returns if every value is the same in all processes. Else throws PROCESSES_DIFFER in each of them, naming the first
   * that differs.
   */
  async agree(values: Record<string, string | number>): Promise<void> {
    const all = await this.#board().collect(`agree/${this.#calls++}`, values);
    for (const [rank, other] of all.entries()) {
      const [name] = Object.keys(values).filter((name) => other[name] !== all[0]![name]);
      if (name === undefined) continue;
      throw new XlembedError(
        'PROCESSES_DIFFER',
        `rank ${rank} and rank 0 differ in ${name}`,
        'start all processes with the same command, data and model',
      );
    }
  }

  /**
   * Says goodbye; the process that serves the store waits a little until the others have done so. All may then join
   * another group.
   */
  async leave(): Promise<void> {
    const { rank, size, launcherServes } = this.launch;
    const key = `${this.prefix}/left`;
    try {
      await this.store.add(key, 1);
      const end = performance.now() + GOODBYE_MS;
      const serves = rank === 0 && !launcherServes;
      while (serves && (await this.store.add(key, 0)) < size && performance.now() < end) await sleep(20);
    } catch {
      // The store is gone, and with it the need for a goodbye.
    } finally {
      this.native.dispose();
      this.store.dispose();
    }
  }

  #board(): Board {
    return new Board(this.store, this.launch, this.prefix, this.timeout_ms);
  }
}

/** Texts that processes leave for each other in the store. */
class Board {
  constructor(
    private readonly store: SharedStore,
    private readonly launch: Launch,
    private readonly prefix: string,
    private readonly timeout_ms: number,
  ) {}

  /** What each process has given, by rank. */
  async collect<T>(name: string, own: T): Promise<T[]> {
    await this.#set(`${name}/${this.launch.rank}`, own);
    const end = performance.now() + this.timeout_ms;
    const all: T[] = [];
    for (let rank = 0; rank < this.launch.size; ++rank) {
      all.push(
        await this.#wait<T>(`${name}/${rank}`, async () => {
          if (performance.now() > end) throw lost(`rank ${rank} has not come within ${this.timeout_ms} ms`);
        }),
      );
    }
    return all;
  }

  async workForAll<T>(name: string, work: () => Promise<T> | T): Promise<T> {
    const beat = () => void this.#add(`${name}/beat`, 1).catch(() => {});
    const pulse = setInterval(beat, BEAT_MS);
    try {
      const value = await work();
      await this.#set(name, { value });
      return value;
    } catch (error) {
      await this.#set(name, { error: (error as Error).message }).catch(() => {});
      throw error;
    } finally {
      clearInterval(pulse);
    }
  }

  async waitForFirst<T>(name: string): Promise<T> {
    let seen = { beat: -1, at: performance.now() };
    const outcome = await this.#wait<{ value: T; error?: string }>(name, async () => {
      const beat = await this.#add(`${name}/beat`, 0);
      if (beat !== seen.beat) seen = { beat, at: performance.now() };
      const silent_ms = performance.now() - seen.at;
      if (silent_ms > Math.max(this.timeout_ms, 5 * BEAT_MS)) throw lost('rank 0 gives no sign of life');
    });
    if (outcome.error !== undefined) throw lost(`rank 0 has ended: ${outcome.error}`);
    return outcome.value;
  }

  /** `check` is called between attempts. */
  async #wait<T>(name: string, check: () => Promise<void>): Promise<T> {
    for (let pause_ms = 2; ; pause_ms = Math.min(2 * pause_ms, POLL_MS)) {
      const text = await this.store.find(`${this.prefix}/${name}`);
      if (text !== undefined) return JSON.parse(text);
      await check();
      await sleep(pause_ms);
    }
  }

  #set(name: string, value: unknown): Promise<void> {
    return this.store.set(`${this.prefix}/${name}`, JSON.stringify(value));
  }

  #add(name: string, amount: number): Promise<number> {
    return this.store.add(`${this.prefix}/${name}`, amount);
  }
}

function lost(what: string): XlembedError {
  return new XlembedError('PROCESS_LOST', what, "the lost process's own error says why; start the job again");
}

/** Containers of one machine have its boot in common, and names of their own. */
function thisMachine(): string {
  let boot = '';
  try {
    boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    // Not Linux: the name has to do.
  }
  return `${hostname()} ${boot}`;
}
