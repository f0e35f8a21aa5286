// One set-up at a time in one checkout: a file that names its owner, made in one atomic link.
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readJson, SetupError } from './shared.mjs';

/** When a process began, in the kernel's ticks: with the pid it names a process beyond reuse of the number. */
function startTicks(pid) {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1).split(' ')[19];
  } catch {
    return undefined;
  }
}

/** True when the owner is gone: only a process of this host can be judged. */
function isStale(owner) {
  return owner.host === hostname() && startTicks(owner.pid) !== owner.started;
}

function tryAcquire(path, owner) {
  const candidate = `${path}.${process.pid}`;
  writeFileSync(candidate, JSON.stringify(owner));
  try {
    linkSync(candidate, path);
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(candidate, { force: true });
  }
}

/** Takes a dead owner's lock away; puts it back when another process has taken it meanwhile. */
function removeStale(path, stale) {
  const aside = `${path}.stale.${process.pid}`;
  try {
    renameSync(path, aside);
    const taken = readJson(aside);
    if (taken && (taken.pid !== stale.pid || taken.started !== stale.started)) linkSync(aside, path);
  } catch {
    // Somebody else removed it first.
  }
  rmSync(aside, { force: true });
}

/**
 * Waits for the lock and gives back the function that frees it.
 * @param {string} path
 * @param {{ say?: (text: string) => void, timeout_ms?: number }} options
 */
export async function acquireLock(path, { say = () => {}, timeout_ms = 3_600_000 } = {}) {
  mkdirSync(dirname(path), { recursive: true });
  const owner = { pid: process.pid, host: hostname(), started: startTicks(process.pid) };
  const deadline = Date.now() + timeout_ms;
  for (let told = false; !tryAcquire(path, owner); ) {
    const other = readJson(path);
    if (other && isStale(other)) {
      removeStale(path, other);
      continue;
    }
    if (Date.now() > deadline) {
      const who = other ? `process ${other.pid} on ${other.host}` : 'an unknown process';
      throw new SetupError(`${who} holds ${path}`, `end it, or remove that file when it no longer runs`);
    }
    if (!told && other) {
      say(`waiting for the set-up that process ${other.pid} on ${other.host} runs here`);
      // Containers are hosts of their own: one that was ended cannot be told from one that runs.
      if (other.host !== hostname()) say(`(if it no longer runs, remove ${path})`);
    }
    told = true;
    await sleep(200);
  }
  return () => rmSync(path, { force: true });
}
