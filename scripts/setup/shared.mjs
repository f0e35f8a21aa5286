// What the steps of the set-up share: where things lie, how a tool is run, how a failure speaks.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The package's root: the checkout, or node_modules/xlembed where it is installed. */
export const root = resolve(fileURLToPath(new URL('../..', import.meta.url)));
/** An installed package brings dist/ and no src/: there is no TypeScript to compile. */
export const isCheckout = existsSync(join(root, 'src'));
/** What the set-up decided; `xlembed doctor` reads it. */
export const statePath = join(root, 'build', 'xlembed-setup.json');

/** A failure that the user can mend: `remedy` says how, `output` is the end of what the tool printed. */
export class SetupError extends Error {
  constructor(message, remedy, output = '') {
    super(message);
    this.remedy = remedy;
    this.output = output;
  }
}

/** What package.json's engines say, and those of what it depends on. */
function isSupportedNode(version) {
  const [major, minor] = version.split('.').map(Number);
  if (major === 20) return minor >= 19;
  return major > 22 || (major === 22 && minor >= 12);
}

/** What would otherwise be passed over without a word, or fail minutes later with another message. */
export function checkMachine(version = process.versions.node, env = process.env, folder = root) {
  if (!isSupportedNode(version)) {
    throw new SetupError(
      `Node ${version} cannot be used`,
      'install Node 20 from 20.19 on, or 22.12 or newer',
    );
  }
  if (/["*;?[\\\]]/.test(folder))
    throw new SetupError(`CMake cannot build in ${folder}`, 'move it to a path without " * ; ? [ \\ and ]');
  for (const name of ['XLEMBED_CUDA', 'XLEMBED_FAISS']) {
    if (env[name] && !['AUTO', 'ON', 'OFF'].includes(env[name]))
      throw new SetupError(`${name}=${env[name]} is not known`, 'set it to AUTO, ON or OFF, or unset it');
  }
}

/** Folder for what is fetched once and serves every checkout. */
export function cacheFolder(env = process.env) {
  return resolve(env.XLEMBED_CACHE || join(env.XDG_CACHE_HOME || join(homeFolder(), '.cache'), 'xlembed'));
}

function homeFolder() {
  try {
    if (homedir()) return homedir();
  } catch {
    // A user that the system does not know.
  }
  throw new SetupError('this user has no home folder for the cache', 'set XLEMBED_CACHE to a folder');
}

function touchesCache(path) {
  try {
    return path.startsWith(cacheFolder()) || cacheFolder().startsWith(path);
  } catch {
    return false;
  }
}

/** Of a file that could not be made its folder. */
const whereItFailed = (path) => (!existsSync(path) && existsSync(dirname(path)) ? dirname(path) : path);

/** What to do about any error that stopped the set-up. */
export function remedyOf(error) {
  if (error instanceof SetupError && error.remedy) return error.remedy;
  if (error.code === 'ENOSPC') return 'free disk space';
  const place = error.path && whereItFailed(error.path);
  if (place && touchesCache(error.path))
    return `make ${place} a folder that you can write to, or set XLEMBED_CACHE to one`;
  if (error.code === 'EACCES' || error.code === 'EROFS') return `make ${place} writable`;
  return `run: ${isCheckout ? 'npm run setup --' : 'npx xlembed setup'} --force --verbose`;
}

export function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}

/** Written beside and renamed: an interrupted run leaves the old file or the new one. */
export function writeJson(path, value) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.new`, `${JSON.stringify(value, null, 2)}\n`);
  renameSync(`${path}.new`, path);
}

/** Every file under `folder` whose name passes, sorted; [] where there is no such folder. */
export function listFiles(folder, passes = () => true) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && passes(entry.name))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

/** One hash over texts and over the names and contents of files. */
export function fingerprint(texts, files = []) {
  const hash = createHash('sha256');
  for (const text of texts) hash.update(`${text}\0`);
  for (const file of files)
    hash
      .update(`${relative(root, file)}\0`)
      .update(readFileSync(file))
      .update('\0');
  return hash.digest('hex').slice(0, 32);
}

/** What a command prints, or undefined where it is missing or fails. */
export function capture(command, args, options = {}) {
  const result = spawnSync(command, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    ...options,
  });
  return result.status === 0 ? result.stdout.trim() : undefined;
}

const running = new Set();
let interrupted = false;

/** Ends the tools that run now, and with them the set-up; false where none was running. */
export function interrupt() {
  interrupted = true;
  for (const child of running) child.kill('SIGTERM');
  return running.size > 0;
}

/** A step that can do without a tool's success must not go on after an interrupt. */
function stopIfInterrupted() {
  if (interrupted) throw new SetupError('interrupted', 'run it again');
}

/**
 * The set-up's voice and its log: one line a step, tools into .build/setup.log (or onto the screen with verbose).
 * @param {{ verbose?: boolean, quiet?: boolean, force?: boolean, tests?: boolean }} options
 */
export function createSetup(options = {}) {
  const logPath = join(root, '.build', 'setup.log');
  // Opened by the first tool that runs: by then this process holds the lock.
  let log;
  const openLog = () => {
    mkdirSync(dirname(logPath), { recursive: true });
    log ??= openSync(logPath, 'w');
  };
  const tty = process.stdout.isTTY && !options.verbose && !options.quiet;
  let progressShownAt = Date.now();

  const clear = () => tty && process.stdout.write('\r\x1b[2K');
  const say = (text) => {
    if (options.quiet) return;
    clear();
    console.log(text);
  };

  /** A passing state: overwritten on a terminal, at most one line in 20 s elsewhere. */
  const progress = (text) => {
    if (tty) {
      process.stdout.write(`\r\x1b[2K  ${text}`.slice(0, (process.stdout.columns ?? 80) + 4));
    } else if (!options.verbose && Date.now() - progressShownAt > 20_000) {
      progressShownAt = Date.now();
      say(`  ${text}`);
    }
  };

  /** Runs one step; `body` gives [result, what to show]. */
  const step = async (name, body) => {
    const start = performance.now();
    progressShownAt = Date.now();
    if (tty) progress(name);
    const [result, detail] = await body();
    stopIfInterrupted();
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    say(`${name.padEnd(17)} ${detail.padEnd(60)} ${seconds.padStart(6)} s`);
    return result;
  };

  /** Runs a tool to its end, or throws a SetupError with the end of its output. */
  const run = (command, args, { what, remedy, env = process.env, cwd = root, onLine } = {}) =>
    new Promise((resolvePromise, reject) => {
      stopIfInterrupted();
      openLog();
      writeSync(log, `\n$ ${[command, ...args].join(' ')}\n`);
      const tail = [];
      const fail = (why) =>
        reject(
          new SetupError(`${what ?? command} failed: ${why}`, remedy ?? `see ${logPath}`, tail.join('\n')),
        );
      const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
      running.add(child);
      const take = (chunk) => {
        writeSync(log, chunk);
        if (options.verbose) process.stdout.write(chunk);
        for (const line of chunk.split(/[\r\n]+/).filter(Boolean)) {
          if (tail.push(line) > 40) tail.shift();
          onLine?.(line);
        }
      };
      for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', take);
      child.on('error', (error) => fail(error.message));
      child.on('close', (code, signal) => {
        running.delete(child);
        code === 0 ? resolvePromise() : fail(signal ? `ended by ${signal}` : `exit code ${code}`);
      });
    });

  return { options, say, progress, step, run, logPath, clear, close: () => log && closeSync(log) };
}
