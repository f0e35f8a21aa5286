// Step 6: the addon, built by cmake-js; skipped while nothing that goes into it has changed.
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import {
  capture,
  fingerprint,
  listFiles,
  readJson,
  root,
  SetupError,
  statePath,
  writeJson,
} from './shared.mjs';

const build = join(root, 'build');
const addonPath = join(build, 'Release', 'xlembed.node');
/** A file with ATen's headers takes about 1.4 GB to compile. */
const bytesPerJob = 1.5e9;

const require = createRequire(join(root, 'package.json'));
const versionOf = (name) => require(`${name}/package.json`).version;

/** -march=native makes the processor an input of the build. */
export function processor() {
  const text = existsSync('/proc/cpuinfo') ? readFileSync('/proc/cpuinfo', 'utf8') : '';
  return /^(?:flags|Features)\s*:(.*)$/m.exec(text)?.[1] ?? process.arch;
}

/** What of it the compiler makes use of by itself: a processor without these cannot run the addon. */
export const instructionsOf = (flags) =>
  flags.split(' ').filter((name) => /^(avx|amx|fma|f16c|bmi|sve)/.test(name));

/** What the object files in build/ depend on beside the sources: when it changes they all go. */
function environmentOf(tools, libtorch) {
  return fingerprint([
    root,
    libtorch.path,
    libtorch.version,
    libtorch.cuda,
    tools.compiler.path,
    tools.compiler.version,
    tools.generator,
    tools.nvcc ?? '',
    process.env.XLEMBED_CUDA ?? '',
    process.env.XLEMBED_WERROR ?? '',
    processor(),
    versionOf('cmake-js'),
    versionOf('node-addon-api'),
    versionOf('node-api-headers'),
  ]);
}

const sourceFiles = (...folders) => [
  join(root, 'CMakeLists.txt'),
  ...folders.flatMap((folder) => listFiles(join(root, 'native', folder))),
];

/** Of a container with a memory limit what the limit leaves, not what its host has. */
export const jobs = () =>
  Math.max(1, Math.min(availableParallelism(), Math.floor(process.availableMemory() / bytesPerJob)));

async function configure(setup, tools, libtorch, faiss) {
  const cli = join(dirname(require.resolve('cmake-js/package.json')), 'bin', 'cmake-js');
  const definitions = {
    XLEMBED_LIBTORCH: libtorch.path,
    XLEMBED_ADDON_API: dirname(require.resolve('node-addon-api/package.json')),
    XLEMBED_CUDA: process.env.XLEMBED_CUDA ?? 'AUTO',
    XLEMBED_FAISS: faiss.use ? (process.env.XLEMBED_FAISS ?? 'AUTO') : 'OFF',
    XLEMBED_WERROR: process.env.XLEMBED_WERROR ?? 'OFF',
    CMAKE_CXX_COMPILER: tools.compiler.path,
  };
  const args = Object.entries(definitions).map(([name, value]) => `--CD${name}=${value}`);
  await setup.run(process.execPath, [cli, 'configure', '-G', tools.generator, '-B', 'Release', ...args], {
    what: 'configuring the addon',
    env: tools.nvcc ? { ...process.env, CUDACXX: tools.nvcc } : process.env,
    remedy: 'look at the messages above; XLEMBED_CUDA=OFF leaves CUDA out',
  });
}

async function compile(setup, target) {
  let warnings = 0;
  const onLine = (line) => {
    if (/^\[/.test(line)) setup.progress(line);
    if (/: warning: /.test(line)) warnings += 1;
  };
  // Not `cmake --build`: on a signal it waits for the whole build.
  const tool = existsSync(join(build, 'build.ninja')) ? 'ninja' : 'make';
  await setup.run(tool, ['-C', build, '-j', String(jobs()), target], {
    what: `compiling ${target}`,
    remedy: `look at the messages above (all of them: ${setup.logPath})`,
    onLine,
  });
  if (warnings > 0) setup.say(`  ${warnings} compiler warnings: ${setup.logPath}`);
}

/** CMake tries nvcc, and with XLEMBED_CUDA=AUTO goes on without one that does not work. */
function isNvccRefused() {
  const cache = join(build, 'CMakeCache.txt');
  return existsSync(cache) && /^CMAKE_CUDA_COMPILER:\w+=NOTFOUND$/m.test(readFileSync(cache, 'utf8'));
}

/** Whether the CUDA sources were compiled, and if not, why not. */
export function cudaOf(tools, libtorch) {
  if (process.env.XLEMBED_CUDA === 'OFF') return { compiled: false, reason: 'XLEMBED_CUDA=OFF' };
  if (!libtorch.cuda) return { compiled: false, reason: 'the libtorch found is a CPU build' };
  if (!tools.nvcc) return { compiled: false, reason: 'nvcc was not found' };
  if (isNvccRefused()) return { compiled: false, reason: `CMake cannot compile with ${tools.nvcc}` };
  return { compiled: true, reason: '' };
}

const describe = (cuda) => (cuda.compiled ? 'with CUDA' : `CPU only: ${cuda.reason}`);

/** Loads the addon in a process of its own, so that a crash is a message and not the end of the set-up. */
function checkThatItLoads() {
  const program = `require(${JSON.stringify(addonPath)})`;
  if (capture(process.execPath, ['-e', program]) !== undefined) return;
  throw new SetupError(
    'the addon was built but does not load',
    `run: node -e '${program}' and look at the message; then: node ${join(root, 'scripts', 'setup.mjs')} --force`,
  );
}

/**
 * @param {{ use: boolean, reason: string }} faiss
 * @returns {Promise<[void, string]>}
 */
export async function buildAddon(setup, tools, libtorch, faiss) {
  const before = readJson(statePath);
  const environment = environmentOf(tools, libtorch);
  const options = [`FAISS ${faiss.use} ${process.env.FAISS_ROOT ?? ''}`];
  const sources = fingerprint(options, sourceFiles('kernels', 'core', 'addon'));
  const sameEnvironment = before?.hashes?.environment === environment && !setup.options.force;
  if (sameEnvironment && before.hashes.addon === sources && existsSync(addonPath)) {
    writeJson(statePath, { ...before, faiss });
    return [undefined, `up to date (${describe(cudaOf(tools, libtorch))})`];
  }
  if (!sameEnvironment) rmSync(build, { recursive: true, force: true });
  const state = {
    node: process.version,
    instructions: instructionsOf(processor()),
    compiler: tools.compiler,
    cmake: tools.cmake,
    nvcc: tools.nvcc ?? null,
    libtorch,
    cuda: cudaOf(tools, libtorch),
    faiss,
    hashes: { environment, addon: '', tests: sameEnvironment ? (before.hashes.tests ?? '') : '' },
  };
  // Written before the build too: an interrupted one goes on where it was, and doctor can say what was chosen.
  writeJson(statePath, state);
  if (!sameEnvironment) setup.say(`  compiling the addon with ${jobs()} job(s): some minutes, once`);
  await configure(setup, tools, libtorch, faiss);
  state.cuda = cudaOf(tools, libtorch);
  await compile(setup, 'xlembed');
  checkThatItLoads();
  state.hashes.addon = sources;
  writeJson(statePath, state);
  return [undefined, `built (${describe(state.cuda)})`];
}

/** The native tests, in the same build folder. */
export async function buildNativeTests(setup) {
  const state = readJson(statePath);
  const sources = fingerprint([], sourceFiles('kernels', 'core', 'tests'));
  if (state.hashes.tests === sources) return [undefined, 'up to date'];
  await compile(setup, 'native_tests');
  state.hashes.tests = sources;
  writeJson(statePath, state);
  return [undefined, 'built'];
}
