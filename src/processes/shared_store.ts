import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { XlembedError } from '../errors.js';
import { loadNative, type NativeStore, nativeCall } from '../native.js';
import type { Launch } from './launch.js';

export const POLL_MS = 200;
/** setTimeout takes no more. */
const LONGEST_MS = 2 ** 31 - 1;

export interface JoinOptions {
  /** How long a process waits for the one that serves the store. Default 5 minutes. */
  connect_ms?: number | undefined;
  /** How long it may take to answer one question; then it is lost. Default 30 seconds. */
  answer_ms?: number | undefined;
  onNote?: ((note: string) => void) | undefined;
}

/**
 * A store whose every call has an end. A server that hangs keeps its connections open, and libtorch waits for it without
 * one; what was asked stays asked, and whatever is asked later would queue behind it.
 */
export class SharedStore implements NativeStore {
  #failure: XlembedError | undefined;

  constructor(
    readonly native: NativeStore,
    private readonly answer_ms: number,
  ) {}

  get port(): number {
    return this.native.port;
  }

  add(key: string, amount: number): Promise<number> {
    return this.#ask(() => this.native.add(key, amount));
  }

  set(key: string, text: string): Promise<void> {
    return this.#ask(() => this.native.set(key, text));
  }

  find(key: string): Promise<string | undefined> {
    return this.#ask(() => this.native.find(key));
  }

  /** One that this process serves stays: others may still be on their way to it, and to the next job's part of it. */
  dispose(): void {
    if (![...served.values()].includes(this.native)) this.native.dispose();
  }

  async #ask<T>(call: () => Promise<T>): Promise<T> {
    if (this.#failure) throw this.#failure;
    const answer = await within(this.answer_ms, nativeCall(call));
    if (answer) return answer.value;
    this.#failure = silent(this.answer_ms);
    throw this.#failure;
  }
}

/** By address, until the process ends. */
const served = new Map<string, NativeStore>();

/** Opens the store of a job, as its server or one of its clients. Throws PROCESS_LOST when nobody serves it. */
export async function openSharedStore(
  { host, port, rank, launcherServes }: Launch,
  { connect_ms = 300_000, answer_ms = 30_000, onNote }: JoinOptions = {},
): Promise<SharedStore> {
  const serve = rank === 0 && !launcherServes;
  const address = `${host}:${port}`;
  const own = serve ? served.get(address) : undefined;
  if (own) return new SharedStore(own, answer_ms);
  if (!serve) await waitForPort(host, port, connect_ms, onNote);
  const opening = nativeCall(() => loadNative().openStore({ host, port, serve, timeout_ms: 30_000 }));
  const opened = await within(connect_ms, serve ? opening.catch(withPort(address)) : opening);
  if (!opened) throw silent(connect_ms);
  if (serve) served.set(address, opened.value);
  return new SharedStore(opened.value, answer_ms);
}

/** undefined where the work takes longer. */
async function within<T>(limit_ms: number, work: Promise<T>): Promise<{ value: T } | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const end = new Promise<undefined>((resolve) => {
    // A turn later, as an answer may have come while this thread was busy.
    const over = () => setImmediate(resolve, undefined);
    timer = setTimeout(over, Math.min(limit_ms, LONGEST_MS));
  });
  try {
    return await Promise.race([work.then((value) => ({ value })), end]);
  } finally {
    clearTimeout(timer);
  }
}

/** What keeps a store from being opened is mostly another program, or another job of the same machine. */
const withPort = (address: string) => (cause: Error) => {
  const remedy = `where another program listens at ${address}, give the job a MASTER_PORT of its own`;
  throw new XlembedError('PROCESS_LOST', cause.message, remedy, { cause });
};

function silent(waited_ms: number): XlembedError {
  return new XlembedError(
    'PROCESS_LOST',
    `the process that serves the shared store has given no answer for ${waited_ms} ms`,
    'it hangs or its machine is gone; what is finished is kept: start the job again with resume',
  );
}

/** TCPStore goes on trying long beyond its timeout: it is asked only when the port answers. */
async function waitForPort(
  host: string,
  port: number,
  limit_ms: number,
  onNote: JoinOptions['onNote'],
): Promise<void> {
  const begun = performance.now();
  for (let noted = false; !(await answers(host, port)); ) {
    const waited_ms = performance.now() - begun;
    if (waited_ms > limit_ms) {
      throw new XlembedError(
        'PROCESS_LOST',
        `nobody answers at ${host}:${port}, where the process of rank 0 serves the shared store`,
        'start the process of rank 0, or correct MASTER_ADDR and MASTER_PORT',
      );
    }
    if (!noted && waited_ms > 5000) {
      onNote?.(`waiting for the process of rank 0 at ${host}:${port}`);
      noted = true;
    }
    await sleep(POLL_MS);
  }
}

function answers(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 5000 });
    const end = (open: boolean) => {
      socket.destroy();
      resolve(open);
    };
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
    socket.once('timeout', () => end(false));
  });
}
