import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { XlembedError } from '../errors.js';
import { loadNative, type NativeStore, nativeCall } from '../native.js';
import type { Launch } from './launch.js';

export const POLL_MS = 200;

export interface JoinOptions {
  /** How long a process waits for the one that serves the store. Default 5 minutes. */
  connect_ms?: number;
  onNote?: ((note: string) => void) | undefined;
}

/** Opens the store of a job, as its server or one of its clients. Throws PROCESS_LOST when nobody serves it. */
export async function openSharedStore(
  { host, port, rank, launcherServes }: Launch,
  { connect_ms = 300_000, onNote }: JoinOptions = {},
): Promise<NativeStore> {
  const serve = rank === 0 && !launcherServes;
  if (!serve) await waitForPort(host, port, connect_ms, onNote);
  return nativeCall(() => loadNative().openStore({ host, port, serve, timeout_ms: 30_000 }));
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
