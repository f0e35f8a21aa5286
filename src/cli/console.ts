import { fstatSync, writeFileSync } from 'node:fs';
import cliProgress from 'cli-progress';
import { XlembedError } from '../errors.js';
import { writeError } from '../files/file_error.js';

/** How a verb talks: results to stdout (one JSON value with --json), everything else to stderr. */
export interface Console {
  readonly json: boolean;
  /** A line for people. */
  info(line: string): void;
  /** What the verb is for: text for people, the value itself with --json. */
  result(text: string, value: unknown): void;
  progress(label: string, total: number): Progress;
  /** A line that is replaced as work goes on; without a terminal, a line now and then. */
  status(): Status;
}

interface Status {
  /** The text is asked for when it is time to show one. */
  update(line: () => string): void;
  stop(): void;
}

export interface Progress {
  update(done: number, detail?: string): void;
  stop(): void;
}

/** Between two states of a status line. */
const STATUS_INTERVAL_MS = { terminal: 200, plain: 10_000 };

/** Lines that a progress takes where no terminal shows a bar. */
const PLAIN_LINES = 20;

export function createConsole({ json = false }: { json?: boolean }): Console {
  return {
    json,
    info: (line) => process.stderr.write(`${line}\n`),
    result: (text, value) => print(json ? `${JSON.stringify(value)}\n` : `${text}\n`),
    progress: process.stderr.isTTY && !json ? barProgress : plainProgress,
    status: () => statusLine(process.stderr.isTTY && !json),
  };
}

/** Throws FILE_WRITE_FAILED where that can be said at once; main.ts hears of the rest. */
function print(text: string): void {
  // Node's stream takes a part that fits on a full disk for the whole.
  if (!isFile(process.stdout.fd)) process.stdout.write(text);
  else {
    try {
      writeFileSync(process.stdout.fd, text);
    } catch (cause) {
      throw writeError('the standard output', cause);
    }
  }
}

function isFile(descriptor: number): boolean {
  try {
    return fstatSync(descriptor).isFile();
  } catch {
    return false;
  }
}

/** Of a process whose part others tell: rank 0 speaks for all. */
export function silentConsole(): Console {
  const silent = () => {};
  const line = () => ({ update: silent, stop: silent });
  return { json: false, info: silent, result: silent, progress: line, status: line };
}

function barProgress(label: string, total: number): Progress {
  const bar = new cliProgress.SingleBar({
    format: `${label} [{bar}] {value}/{total} | {eta_formatted} left | {detail}`,
    barCompleteChar: '=',
    barIncompleteChar: ' ',
    hideCursor: true,
    stream: process.stderr,
  });
  bar.start(total, 0, { detail: '' });
  return { update: (done, detail = '') => bar.update(done, { detail }), stop: () => bar.stop() };
}

function plainProgress(label: string, total: number): Progress {
  const every = Math.max(1, Math.ceil(total / PLAIN_LINES));
  let next = every;
  return {
    update(done, detail = '') {
      if (done < next && done < total) return;
      next = (Math.floor(done / every) + 1) * every;
      process.stderr.write(`${label} ${done}/${total}${detail && ` | ${detail}`}\n`);
    },
    stop() {},
  };
}

function statusLine(terminal: boolean): Status {
  const interval = STATUS_INTERVAL_MS[terminal ? 'terminal' : 'plain'];
  let last: (() => string) | undefined;
  let next = performance.now();
  const show = (line: () => string) => process.stderr.write(terminal ? `\r\x1b[K${line()}` : `${line()}\n`);
  return {
    update(line) {
      last = line;
      if (performance.now() < next) return;
      next = performance.now() + interval;
      show(line);
    },
    stop() {
      if (last) show(last);
      if (last && terminal) process.stderr.write('\n');
    },
  };
}

/** `name  value` lines with the names padded to one width. */
export function settingsLines(settings: Record<string, unknown>): string {
  const shown = Object.entries(settings).filter(([, value]) => value !== undefined);
  const width = Math.max(...shown.map(([name]) => name.length));
  const text = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value));
  return shown.map(([name, value]) => `  ${name.padEnd(width)}  ${text(value)}`).join('\n');
}

/** Prints an error as code, message and remedy; returns the exit code. */
export function reportError(error: unknown, json: boolean): number {
  if (!(error instanceof XlembedError)) {
    process.stderr.write(`xlembed: unexpected error\n${(error as Error)?.stack ?? String(error)}\n`);
    return 70;
  }
  const { code, message, hint } = error;
  if (json) process.stdout.write(`${JSON.stringify({ error: { code, message, hint } })}\n`);
  process.stderr.write(`xlembed: ${code}: ${message}\n${hint && `  remedy: ${hint}\n`}`);
  return 1;
}
