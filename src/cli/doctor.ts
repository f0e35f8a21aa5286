import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { XlembedError } from '../errors.js';
import { loadNative, type NativeInfo } from '../native.js';
import { cacheFolder } from './cache_folder.js';
import { createConsole } from './console.js';

/** One thing that the machine has or lacks. */
interface Finding {
  name: string;
  /** `optional` is missing too, but xlembed runs without it. */
  status: 'ok' | 'missing' | 'optional';
  value: string;
  /** What to do about it; empty where nothing is to be done. */
  remedy: string;
}

/** What scripts/setup.mjs wrote down; every field may be absent in a file of another version. */
interface SetupState {
  compiler?: { path: string; version: string };
  cmake?: { version: string };
  nvcc?: string | null;
  libtorch?: { path: string; version: string; cuda: boolean; found: string; notes?: string[] };
  cuda?: { compiled: boolean; reason: string };
  faiss?: { use: boolean; reason: string };
}

const root = fileURLToPath(new URL('../..', import.meta.url));
const setup = 'run: npx xlembed setup';

const ok = (name: string, value: string, remedy = ''): Finding => ({ name, status: 'ok', value, remedy });
const missing = (name: string, value: string, remedy: string): Finding => ({
  name,
  status: 'missing',
  value,
  remedy,
});
const optional = (name: string, value: string, remedy: string): Finding => ({
  name,
  status: 'optional',
  value,
  remedy,
});

function readState(): SetupState {
  try {
    return JSON.parse(readFileSync(join(root, 'build', 'xlembed-setup.json'), 'utf8')) as SetupState;
  } catch {
    return {};
  }
}

/** First line that a command prints, or undefined where there is no such command. */
function firstLine(command: string, args: string[]): string | undefined {
  try {
    const text = execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    return text.split('\n')[0];
  } catch {
    return undefined;
  }
}

function findNode(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const isSupported = major === 20 ? minor >= 19 : major > 22 || (major === 22 && minor >= 12);
  return isSupported
    ? ok('Node', process.versions.node)
    : missing('Node', process.versions.node, 'install Node 20 from 20.19 on, or 22.12 or newer');
}

function findModules(): Finding {
  const text = readFileSync(join(root, 'package.json'), 'utf8');
  const { dependencies } = JSON.parse(text) as { dependencies: Record<string, string> };
  const absent = Object.keys(dependencies).filter((name) => !isInstalled(name));
  if (absent.length === 0) return ok('npm modules', `all ${Object.keys(dependencies).length} dependencies`);
  return missing('npm modules', `not installed: ${absent.join(', ')}`, 'run: npm install');
}

/** By Node's own search, which Yarn's Plug'n'Play has changed: it has no node_modules. */
function isInstalled(name: string): boolean {
  try {
    createRequire(join(root, 'package.json')).resolve(name);
    return true;
  } catch (error) {
    // What is for import alone is found, and refused.
    return (error as NodeJS.ErrnoException).code === 'ERR_PACKAGE_PATH_NOT_EXPORTED';
  }
}

/** Judges what a tool prints of its version; `oldest` is major and minor. */
function findTool(name: string, printed: string, oldest: string, remedy: string): Finding {
  const version = /\d+(\.\d+)+/.exec(printed)?.[0];
  if (!version) return missing(name, 'not found', remedy);
  const isOld = version.localeCompare(oldest, 'en', { numeric: true }) < 0;
  return isOld ? missing(name, `${version} is older than ${oldest}`, remedy) : ok(name, printed);
}

function findTools(state: SetupState): Finding[] {
  const compiler = firstLine(state.compiler?.path ?? process.env.CXX ?? 'g++', ['-dumpfullversion']) ?? '';
  const cmake = firstLine('cmake', ['--version']) ?? '';
  const nvcc = state.nvcc ?? firstLine('which', ['nvcc']);
  const maker = ['ninja', 'make'].find((name) => firstLine(name, ['--version']) !== undefined);
  return [
    findTool('compiler', `g++ ${compiler}`, '11.0', 'install g++ 11 or newer, or set CXX to one'),
    findTool('cmake', cmake.replace(/^\D+/, ''), '3.22', 'install cmake 3.22 or newer'),
    maker ? ok('make', maker) : missing('make', 'neither ninja nor make', 'install make'),
    nvcc
      ? ok('nvcc', nvcc)
      : optional('nvcc', 'not found', 'for CUDA install the CUDA toolkit, then run: npx xlembed setup'),
  ];
}

function findLibtorch({ libtorch, cuda }: SetupState): Finding[] {
  if (!libtorch) return [missing('libtorch', 'not chosen yet', setup)];
  const notes = (libtorch.notes ?? []).map((note) => `; ${note}`).join('');
  const value = `${libtorch.version} ${libtorch.cuda ? 'CUDA' : 'CPU'} build, from ${libtorch.found}: ${libtorch.path}${notes}`;
  const isThere = existsSync(join(libtorch.path, 'lib', 'libtorch_cpu.so'));
  return [
    isThere ? ok('libtorch', value) : missing('libtorch', `gone: ${libtorch.path}`, `${setup} --force`),
    cuda?.compiled
      ? ok('CUDA kernels', 'compiled')
      : optional(
          'CUDA kernels',
          `not compiled: ${cuda?.reason ?? 'the addon is not built'}`,
          'needs nvcc and a CUDA build of libtorch (LIBTORCH or Python torch), then: npx xlembed setup --force',
        ),
  ];
}

function findAddon(state: SetupState): { loads: boolean; findings: Finding[] } {
  try {
    return { loads: true, findings: describeAddon(loadNative().info(), state) };
  } catch (error) {
    const { code, message, hint } =
      error instanceof XlembedError ? error : new XlembedError('ADDON_LOAD_FAILED', String(error), setup);
    return { loads: false, findings: [missing('addon', `${code}: ${message}`, hint)] };
  }
}

function describeAddon(info: NativeInfo, state: SetupState): Finding[] {
  return [
    ok('addon', `loads; libtorch ${info.libtorch}, ${info.compiler}`),
    ok('threads', String(info.threads)),
    ok('CPU capability', info.cpuCapability),
    findDevices(info.cudaDevices, state.libtorch?.cuda ?? false),
    findFaiss(info.faiss, state),
  ];
}

function findDevices(devices: number, isCudaBuild: boolean): Finding {
  if (devices > 0) return ok('CUDA devices', String(devices));
  if (!isCudaBuild) return optional('CUDA devices', 'not looked for: libtorch is a CPU build', '');
  return optional('CUDA devices', 'none visible', 'is the NVIDIA driver there? run: nvidia-smi');
}

function findFaiss(version: string, { faiss }: SetupState): Finding {
  if (version) return ok('FAISS', `${version} (approximate search)`);
  const why = faiss?.use ? 'its CMake files were not found' : (faiss?.reason ?? 'the addon is not built');
  return optional(
    'FAISS',
    `built without: ${why} (exact search works)`,
    'Debian, Ubuntu: apt-get install libfaiss-dev, then: npx xlembed setup',
  );
}

function findCache(): Finding {
  try {
    const folder = cacheFolder();
    return ok(
      'cache',
      `${folder}: ${existsSync(folder) ? `${(sizeOf(folder) / 1e6).toFixed(0)} MB` : 'empty'}`,
    );
  } catch (error) {
    return missing('cache', (error as Error).message, 'set XLEMBED_CACHE to a folder that you can write to');
  }
}

function sizeOf(folder: string): number {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => lstatSync(join(folder, name), { throwIfNoEntry: false }))
    .reduce((sum, entry) => sum + (entry?.isFile() ? entry.size : 0), 0);
}

function show(findings: Finding[]): string {
  const mark = { ok: 'ok', missing: 'MISSING', optional: 'none' };
  const line = ({ name, status, value, remedy }: Finding) =>
    `${mark[status].padEnd(8)}${name.padEnd(16)}${value}${remedy && `\n${' '.repeat(24)}${remedy}`}`;
  return findings.map(line).join('\n');
}

/**
 * Prints what this machine has and what it lacks, each with its remedy: lines for people, or with `json` one object
 * `{ loads, findings: [{ name, status, value, remedy }] }`.
 * @returns the exit code: 0 only when the addon loads.
 */
export async function doctor(options: { json: boolean }): Promise<number> {
  const state = readState();
  const { loads, findings: addon } = findAddon(state);
  const findings = [
    findNode(),
    findModules(),
    ...findTools(state),
    ...findLibtorch(state),
    ...addon,
    findCache(),
  ];
  createConsole(options).result(show(findings), { loads, findings });
  return loads ? 0 : 1;
}
