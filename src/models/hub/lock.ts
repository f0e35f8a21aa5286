import { readFileSync, statSync } from 'node:fs';
import { mkdir, rm, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { cacheError } from './cache.js';

const HEARTBEAT_MS = 5_000;
/** Age after which the owner of a lock counts as dead, wherever it ran. */
const STALE_MS = 60_000;
const POLL_MS = 100;

/**
 * Runs `work` while no other process that asks for the same lock does. It spares a second download of the same files
 * (every rank of a training run asks for the same model); nothing goes wrong where it fails to, since blobs appear
 * whole or not at all. `onWait` is called once when there is something to wait for. Throws FILE_WRITE_FAILED.
 */
export async function withLock<T>(path: string, onWait: () => void, work: () => Promise<T>): Promise<T> {
  let waited = false;
  while (!(await take(path))) {
    if (!waited) onWait();
    waited = true;
    if (isAbandoned(path)) await rm(path, { force: true });
    else await sleep(POLL_MS);
  }
  const heartbeat = setInterval(
    () => void utimes(path, new Date(), new Date()).catch(() => {}),
    HEARTBEAT_MS,
  );
  heartbeat.unref();
  try {
    return await work();
  } finally {
    clearInterval(heartbeat);
    await rm(path, { force: true });
  }
}

async function take(path: string): Promise<boolean> {
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, JSON.stringify({ host: hostname(), process: process.pid }), { flag: 'wx' });
    return true;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') return false;
    // On a full disk it is there without its owner, and nobody would know that it is abandoned.
    await rm(path, { force: true }).catch(() => {});
    throw cacheError(path, cause);
  }
}

function isAbandoned(path: string): boolean {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (!stats) return false;
  // The owner's clock may have been ahead: a lock of the future would be waited for until then.
  return Math.abs(Date.now() - stats.mtimeMs) > STALE_MS || hasDeadOwner(path);
}

function hasDeadOwner(path: string): boolean {
  try {
    const owner = JSON.parse(readFileSync(path, 'utf8')) as { host: string; process: number };
    return owner.host === hostname() && !isAlive(owner.process);
  } catch {
    // Just being written, or just removed.
    return false;
  }
}

function isAlive(process_: number): boolean {
  try {
    process.kill(process_, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
