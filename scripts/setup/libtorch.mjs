// Step 4: libtorch is located, not bundled: LIBTORCH, the Python on the PATH, the project's cache, or fetched.
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fetchLibtorch, pinnedVersion } from './fetch_libtorch.mjs';
import { cacheFolder, capture, SetupError } from './shared.mjs';
import { isAtLeast } from './toolchain.mjs';

const oldestVersion = [2, 11];

function readVersion(include) {
  for (const header of ['torch/headeronly/version.h', 'torch/csrc/api/include/torch/version.h']) {
    if (!existsSync(join(include, header))) continue;
    const text = readFileSync(join(include, header), 'utf8');
    const numbers = ['MAJOR', 'MINOR', 'PATCH'].map(
      (part) => text.match(new RegExp(`define TORCH_VERSION_${part} (\\d+)`))?.[1],
    );
    if (numbers.every((number) => number !== undefined)) return numbers.join('.');
  }
  return undefined;
}

/**
 * Judges a folder: { path, version, cuda } when the addon can be built against it, else { path, problem }.
 * @param {string} path a folder with include/ and lib/
 */
export function inspectLibtorch(path) {
  if (/[,:;]/.test(path)) return { path, problem: 'the linker takes no path with , : or ;' };
  if (!existsSync(path) || !statSync(path).isDirectory()) return { path, problem: 'no such folder' };
  for (const part of ['include/ATen/ATen.h', 'lib/libtorch.so', 'lib/libtorch_cpu.so', 'lib/libc10.so']) {
    if (!existsSync(join(path, part))) return { path, problem: `no ${part}` };
  }
  const version = readVersion(join(path, 'include'));
  if (!version) return { path, problem: 'its headers name no version' };
  if (!isAtLeast(version, oldestVersion)) {
    return { path, problem: `version ${version} is older than ${oldestVersion.join('.')}` };
  }
  return { path, version, cuda: existsSync(join(path, 'lib/libtorch_cuda.so')) };
}

/** The folder of the `torch` that a Python would import; found without importing it (that takes seconds). */
function pythonTorch(python) {
  const program = `
import importlib.util
spec = importlib.util.find_spec("torch")
print(list(spec.submodule_search_locations)[0] if spec and spec.origin else "")`;
  // From "/", so that a folder named torch in the working folder is not taken for the package.
  return capture(python, ['-c', program], { cwd: '/' }) || undefined;
}

function fromEnvironment() {
  const path = resolve(process.env.LIBTORCH);
  const judged = inspectLibtorch(path);
  if (judged.problem) {
    throw new SetupError(
      `LIBTORCH=${path} cannot be used: ${judged.problem}`,
      `set it to a folder with include/ and lib/ of libtorch ${oldestVersion.join('.')} or newer, or unset it`,
    );
  }
  return judged;
}

/** The choice of an earlier set-up stays while it is there: a different shell must not cause a rebuild. */
function stillValid(previous) {
  if (!previous) return false;
  if (process.env.LIBTORCH && resolve(process.env.LIBTORCH) !== previous.path) return false;
  const judged = inspectLibtorch(previous.path);
  return judged.version === previous.version && judged.cuda === previous.cuda;
}

async function choose(setup) {
  if (process.env.LIBTORCH) return { ...fromEnvironment(), found: 'LIBTORCH', notes: [] };
  const notes = [];
  for (const python of ['python3', 'python']) {
    const path = pythonTorch(python);
    const judged = path && inspectLibtorch(path);
    if (judged && !judged.problem) return { ...judged, found: `the torch of ${python}`, notes };
    if (judged) notes.push(`the torch of ${python} (${path}) was passed over: ${judged.problem}`);
  }
  const cached = join(cacheFolder(), `libtorch-${pinnedVersion}`);
  const judged = inspectLibtorch(cached);
  if (!judged.problem) return { ...judged, found: 'the cache', notes };
  if (existsSync(cached)) notes.push(`${cached} was replaced: ${judged.problem}`);
  await fetchLibtorch(setup, cached);
  return { ...inspectLibtorch(cached), found: 'pip, into the cache', notes };
}

/**
 * @param {object | undefined} previous what the last set-up chose
 * @returns {Promise<[{ path: string, version: string, cuda: boolean, found: string, notes: string[] }, string]>}
 */
export async function locateLibtorch(setup, previous) {
  const kept = !setup.options.force && stillValid(previous);
  const libtorch = kept ? previous : await choose(setup);
  if (libtorch.problem) {
    throw new SetupError(
      `the fetched libtorch is not usable: ${libtorch.problem}`,
      'set LIBTORCH to another one',
    );
  }
  if (!kept) for (const note of libtorch.notes) setup.say(`  ${note}`);
  const build = libtorch.cuda ? 'CUDA' : 'CPU';
  return [libtorch, `${libtorch.version} ${build}, from ${libtorch.found}: ${libtorch.path}`];
}
