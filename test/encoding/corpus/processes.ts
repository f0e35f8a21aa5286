import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export interface Ended {
  status: number | null;
  signal: NodeJS.Signals | null;
  /** What encode_process.ts printed, parsed. */
  result: { rows?: number; documents?: number; code?: string; message?: string; hint?: string };
}

const program = fileURLToPath(new URL('./encode_process.js', import.meta.url));

/** Starts encode_process.ts; `shell` runs before it in the same process. */
export function startEncoding(
  input: string,
  output: string,
  options: Record<string, unknown>,
  { environment = {}, shell = '' }: { environment?: Record<string, string>; shell?: string } = {},
): { child: ChildProcess; ended: Promise<Ended> } {
  const argv = [process.execPath, program, input, output, JSON.stringify(options)];
  const child = spawn('bash', ['-c', `${shell} exec "$@"`, 'bash', ...argv], {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout!.on('data', (chunk) => {
    text += chunk;
  });
  const ended = once(child, 'close').then(([status, signal]) => ({
    status,
    signal,
    result: text === '' ? {} : JSON.parse(text),
  }));
  return { child, ended };
}

/** Shards whose files are in place. */
export function shardsIn(output: string): number {
  try {
    return readdirSync(output).filter((name) => /^shard-\d+\.npy$/.test(name)).length;
  } catch {
    return 0;
  }
}

/** The process has a shard in hand. */
export function isWriting(output: string, { pid }: ChildProcess): boolean {
  try {
    return readdirSync(join(output, '.progress')).some((name) => name.startsWith(`writing-${pid}-`));
  } catch {
    return false;
  }
}

export async function until(condition: () => boolean, limit_ms = 60_000): Promise<void> {
  for (const end = performance.now() + limit_ms; !condition(); await sleep(5)) {
    if (performance.now() > end) throw new Error('waited in vain');
  }
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}
