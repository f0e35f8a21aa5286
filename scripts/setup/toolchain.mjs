// Step 3: a compiler, CMake, make or Ninja, Python: found, installed where that is possible, or named.
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { capture, SetupError } from './shared.mjs';

const oldestCompiler = 11;
const oldestCmake = [3, 22];

/** Full path of a command on the PATH, or undefined. */
export function which(name, env = process.env) {
  if (name.includes('/')) return existsSync(name) ? name : undefined;
  for (const folder of (env.PATH ?? '').split(delimiter)) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this folder.
    }
  }
  return undefined;
}

export function isAtLeast(version, oldest) {
  const numbers = version.split('.').map((part) => Number.parseInt(part, 10) || 0);
  for (const [index, wanted] of oldest.entries()) {
    const have = numbers[index] ?? 0;
    if (have !== wanted) return have > wanted;
  }
  return true;
}

function findCompiler() {
  const names = process.env.CXX
    ? [process.env.CXX]
    : ['g++', 'g++-15', 'g++-14', 'g++-13', 'g++-12', 'g++-11'];
  for (const name of names) {
    const path = which(name);
    const version = path && capture(path, ['-dumpfullversion']);
    if (version && isAtLeast(version, [oldestCompiler])) return { path, version };
  }
  return undefined;
}

function findCmake() {
  const path = which('cmake');
  const version = path && capture(path, ['--version'])?.match(/\d+\.\d+[.\d]*/)?.[0];
  return version && isAtLeast(version, oldestCmake) ? { path, version } : undefined;
}

/** The CUDA compiler: where CMake looks, then where NVIDIA's packages put it. */
export function findNvcc() {
  return process.env.CUDACXX || which('nvcc') || which('/usr/local/cuda/bin/nvcc');
}

export function isDebian() {
  try {
    return /^(ID|ID_LIKE)=.*(debian|ubuntu)/m.test(readFileSync('/etc/os-release', 'utf8'));
  } catch {
    return false;
  }
}

/** Installs Debian packages when this process may, and otherwise says what the user should run. */
async function installPackages(setup, packages, missing) {
  const install = `apt-get install -y --no-install-recommends ${packages.join(' ')}`;
  const remedy = isDebian() ? `run: sudo ${install}` : `install: ${packages.join(', ')}`;
  if (!isDebian() || process.getuid?.() !== 0) throw new SetupError(`missing: ${missing}`, remedy);
  setup.say(`  missing: ${missing}; running ${install}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const apt = (args) => setup.run('apt-get', args, { what: 'apt-get', remedy, env });
  await apt(['update']).catch(() => {});
  await apt(install.split(' ').slice(1));
}

/** @returns {Promise<string>} a Python that has pip */
export async function ensurePip(setup) {
  const find = () =>
    ['python3', 'python'].find((name) => capture(name, ['-m', 'pip', '--version']) !== undefined);
  if (!find()) await installPackages(setup, ['python3', 'python3-pip'], 'Python 3 with pip');
  const python = find();
  if (!python) throw new SetupError('missing: pip', 'run: python3 -m ensurepip --user');
  return python;
}

function unusableCompiler() {
  const { CXX } = process.env;
  return CXX
    ? new SetupError(
        `CXX=${CXX} is not the path of a g++ ${oldestCompiler} or newer`,
        'set it to one, or unset it',
      )
    : new SetupError(`g++ is older than ${oldestCompiler}`, 'install a newer one and set CXX to its path');
}

function unusableCmake() {
  return new SetupError(
    `cmake is older than ${oldestCmake.join('.')}`,
    'put a newer one first on the PATH (`pip install cmake` in a Python virtual environment brings one)',
  );
}

export async function findToolchain(setup) {
  // One that is there but of no use: the system's packages would hardly bring another.
  if (!findCompiler() && (process.env.CXX || which('g++'))) throw unusableCompiler();
  if (!findCmake() && which('cmake')) throw unusableCmake();
  const wanted = [
    [findCompiler(), `g++ ${oldestCompiler} or newer`, 'g++'],
    [findCmake(), `cmake ${oldestCmake.join('.')} or newer`, 'cmake'],
    [which('ninja') ?? which('make'), 'make or ninja', 'make'],
  ].filter(([found]) => !found);
  if (wanted.length > 0) {
    const names = wanted.map(([, name]) => name).join(', ');
    await installPackages(
      setup,
      wanted.map(([, , debian]) => debian),
      names,
    );
  }

  const compiler = findCompiler();
  const cmake = findCmake();
  if (!compiler) throw unusableCompiler();
  if (!cmake) throw unusableCmake();
  const generator = which('ninja') ? 'Ninja' : 'Unix Makefiles';
  const nvcc = findNvcc();
  const detail = `g++ ${compiler.version}, cmake ${cmake.version}${nvcc ? ', nvcc' : ''}`;
  return [{ compiler, cmake, generator, nvcc }, detail];
}
