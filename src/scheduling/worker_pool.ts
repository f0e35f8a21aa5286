import { fileURLToPath } from 'node:url';
import type { Transferable, Worker } from 'node:worker_threads';
import { Piscina } from 'piscina';
import { invalidArgument, XlembedError } from '../errors.js';
import { processors } from '../processors.js';
import { type Reply, revived } from './worker.js';

export interface WorkerPoolOptions {
  /** Module whose default export is `serve(handler)` of worker.ts. */
  file: URL;
  /** Cloned into every thread. */
  workerData?: unknown;
  /** Default: the number of processors. */
  threads?: number;
  /** Tasks posted at a time, running ones included; `run` waits beyond. Default: twice the threads. */
  maxPending?: number;
  /** Of a thread's heap, MB: what its short-lived values may take before they are collected. Default: V8's own. */
  youngGeneration?: number;
}

/**
 * Threads that answer tasks. A thread that dies fails its own task with WORKER_FAILED and is replaced. Idle
 * threads do not keep the process alive.
 */
export class WorkerPool<Task, Result> {
  readonly threads: number;
  readonly #pool: Piscina<Task, Reply<Result>>;
  readonly #maxPending: number;
  readonly #waiting: (() => void)[] = [];
  readonly #abandon = new Set<(error: XlembedError) => void>();
  readonly #tasks = new Set<Promise<unknown>>();
  readonly #loading = new Map<Worker, Promise<void>>();
  #pending = 0;
  #closed: Promise<void> | undefined;
  #lastFailure: unknown;

  constructor({
    file,
    workerData,
    threads = processors(),
    maxPending = 2 * threads,
    youngGeneration,
  }: WorkerPoolOptions) {
    if (!Number.isInteger(threads) || threads < 1)
      throw invalidArgument('threads', 'an integer above 0', threads);
    this.threads = threads;
    this.#maxPending = Math.max(threads, maxPending);
    try {
      this.#pool = new Piscina({
        filename: fileURLToPath(file),
        minThreads: threads,
        maxThreads: threads,
        idleTimeout: Number.POSITIVE_INFINITY,
        workerData,
        ...(youngGeneration ? { resourceLimits: { maxYoungGenerationSizeMb: youngGeneration } } : {}),
      });
    } catch (cause) {
      throw workerFailed(cause);
    }
    this.#pool.on('error', (cause) => {
      this.#lastFailure = cause;
    });
    this.#pool.on('workerDestroy', () =>
      setImmediate(() => {
        this.#abandonWithoutThreads();
        this.#holdWhileLoading();
      }),
    );
    this.#holdWhileLoading();
  }

  /**
   * Runs one task; waits while maxPending tasks are posted. Buffers in `transfer` move to the thread. Throws the
   * handler's XlembedError as it was, WORKER_FAILED when the thread died, DISPOSED after close().
   */
  run(task: Task, transfer: readonly Transferable[] = []): Promise<Result> {
    const result = this.#run(task, transfer);
    this.#tasks.add(result);
    const forget = () => this.#tasks.delete(result);
    result.then(forget, forget);
    return result;
  }

  /** Waits for the tasks handed in, then ends the threads. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #run(task: Task, transfer: readonly Transferable[]): Promise<Result> {
    if (this.#closed)
      throw new XlembedError('DISPOSED', 'the worker threads were ended', 'open or load a new one');
    await this.#enter();
    try {
      return revived(await this.#post(task, transfer));
    } finally {
      this.#leave();
    }
  }

  /** Settles with the reply, or fails when no thread is left that could give one. */
  #post(task: Task, transfer: readonly Transferable[]): Promise<Reply<Result>> {
    return new Promise((resolve, reject) => {
      this.#abandon.add(reject);
      this.#pool
        .run(task, { transferList: [...transfer] as never })
        .then(resolve, (cause) => reject(workerFailed(cause)))
        .finally(() => this.#abandon.delete(reject));
    });
  }

  async #enter(): Promise<void> {
    if (this.#pending < this.#maxPending) this.#pending += 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Hands its place to the first one waiting, so that places never exceed maxPending. */
  #leave(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#pending -= 1;
  }

  /** Threads that fail while they load are not replaced: their queued tasks would wait for ever. */
  #abandonWithoutThreads(): void {
    if (this.#pool.threads.length > 0) return;
    for (const abandon of this.#abandon) abandon(workerFailed(this.#lastFailure));
    this.#abandon.clear();
  }

  /**
   * Node 20 aborts the process when a thread ends while it loads its modules: until a thread has loaded (its first
   * message says so), it keeps the process alive and the pool open.
   */
  #holdWhileLoading(): void {
    for (const thread of this.#pool.threads as Worker[]) {
      if (this.#loading.has(thread)) continue;
      thread.ref();
      const loaded = new Promise<void>((resolve) => thread.once('message', resolve).once('exit', resolve));
      this.#loading.set(
        thread,
        loaded.then(() => thread.unref()),
      );
      thread.once('exit', () => this.#loading.delete(thread));
    }
  }

  async #close(): Promise<void> {
    await Promise.allSettled([...this.#tasks, ...this.#loading.values()]);
    await this.#pool.destroy();
  }
}

function workerFailed(cause: unknown): XlembedError {
  const text = cause instanceof Error ? cause.message : String(cause ?? 'no reason given');
  const isForbidden = (cause as NodeJS.ErrnoException | undefined)?.code === 'ERR_ACCESS_DENIED';
  const hint = isForbidden ? 'start Node with --allow-worker and --allow-addons beside --permission' : '';
  return new XlembedError('WORKER_FAILED', `a worker thread failed: ${text}`, hint, { cause });
}
