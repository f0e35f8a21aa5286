// Fetches libtorch: pip downloads PyTorch's wheel, and of it only headers and libraries are kept.
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { capture, listFiles, SetupError } from './shared.mjs';
import { ensurePip } from './toolchain.mjs';

export const pinnedVersion = '2.13.0';

/** Into folders of our own: what a user's pip.conf says of environments does not hold. */
const pipSettings = { PIP_DISABLE_PIP_VERSION_CHECK: '1', PIP_REQUIRE_VIRTUALENV: '0', PIP_USER: '0' };

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(0)} MB`;

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

const day_ms = 86_400_000;

/** Machines and containers that share a cache have process numbers of their own: of others only the age tells. */
function isLeftBehind(path) {
  const [, host, pid] = /\.partial-(.+)-(\d+)(?:-old)?$/.exec(path) ?? [];
  if (host === undefined) return false;
  if (host === hostname()) return !isAlive(Number(pid));
  const entry = statSync(path, { throwIfNoEntry: false });
  return entry !== undefined && Date.now() - entry.mtimeMs > day_ms;
}

const partialName = (target) => `${target}.partial-${hostname()}-${process.pid}`;

/** A folder that nobody else writes to, beside the one it will become; what dead runs left behind goes. */
export function partialFolder(target) {
  const parent = dirname(target);
  mkdirSync(parent, { recursive: true });
  for (const path of readdirSync(parent).map((name) => join(parent, name))) {
    if (isLeftBehind(path)) rmSync(path, { recursive: true, force: true });
  }
  const partial = partialName(target);
  rmSync(partial, { recursive: true, force: true });
  mkdirSync(partial);
  return partial;
}

/** Puts a finished folder into its place in one rename. */
export function replaceFolder(from, to) {
  const old = `${partialName(to)}-old`;
  if (existsSync(to)) renameSync(to, old);
  renameSync(from, to);
  rmSync(old, { recursive: true, force: true });
}

/** Bytes in a folder that another program writes to and removes from meanwhile. */
export function sizeOfFolder(folder) {
  try {
    return listFiles(folder).reduce((sum, path) => sum + statSync(path).size, 0);
  } catch (error) {
    if (error.code === 'ENOENT') return 0;
    throw error;
  }
}

/** Runs pip with its temporary files in `folder`, and shows the sizes it names and how far it has come. */
export async function runPip(setup, python, args, folder, label) {
  const scratch = join(folder, 'scratch');
  mkdirSync(scratch, { recursive: true });
  let current = '';
  const timer = setInterval(() => {
    const bytes = sizeOfFolder(scratch);
    setup.progress(`${label}: ${current || 'asking the package index'}, ${megabytes(bytes)} so far`);
  }, 500);
  const onLine = (line) => {
    const [, file, size] = /Downloading (\S+?)(?:\.metadata)? \(([\d.]+ [MG]B)\)/.exec(line) ?? [];
    if (!file) return;
    current = `${file.split('/').at(-1)} (${size})`;
    setup.say(`  ${label}: downloading ${current}`);
  };
  try {
    await setup.run(python, ['-m', 'pip', ...args], {
      what: `${label} with pip`,
      remedy:
        'is the Python package index reachable, and has it a wheel for this Python (3.10 to 3.14)? Or install ' +
        'PyTorch into the Python on the PATH, or set LIBTORCH to a folder with its include/ and lib/',
      env: { ...process.env, TMPDIR: scratch, ...pipSettings },
      onLine,
    });
  } finally {
    clearInterval(timer);
    rmSync(scratch, { recursive: true, force: true });
  }
}

function unpack(python, wheel, folder) {
  const script = fileURLToPath(new URL('unpack_wheel.py', import.meta.url));
  const printed = capture(python, [script, wheel, folder], { stdio: ['ignore', 'pipe', 'inherit'] });
  if (printed) return JSON.parse(printed);
  throw new SetupError(
    `${wheel} could not be unpacked`,
    'free disk space, or set XLEMBED_CACHE to a larger disk',
  );
}

/** A CUDA build loads NVIDIA's libraries from a folder beside it: <cache>/nvidia/<part>/lib. */
async function fetchNvidiaLibraries(setup, python, requires, partial, cache) {
  setup.say(
    '  this is the CUDA build of PyTorch: its NVIDIA libraries are fetched too (some 2 GB, 4 GB on disk)',
  );
  setup.say('  (for the CPU build set PIP_INDEX_URL to the index of CPU wheels that pytorch.org names)');
  const site = join(partial, 'site');
  await runPip(setup, python, ['install', '--target', site, ...requires], partial, 'NVIDIA libraries');
  if (existsSync(join(site, 'nvidia'))) replaceFolder(join(site, 'nvidia'), join(cache, 'nvidia'));
  rmSync(site, { recursive: true, force: true });
}

/** @param {string} target <cache>/libtorch-<version>; it appears only when it is whole */
export async function fetchLibtorch(setup, target) {
  const python = await ensurePip(setup);
  const partial = partialFolder(target);
  setup.say(`  fetching torch ${pinnedVersion} into ${dirname(target)} (200 MB; 600 MB and more with CUDA)`);
  try {
    const download = ['download', '--no-deps', '--only-binary=:all:', '--dest', partial];
    await runPip(setup, python, [...download, `torch==${pinnedVersion}`], partial, 'libtorch');
    const wheel = join(
      partial,
      readdirSync(partial).find((name) => name.endsWith('.whl')),
    );
    setup.progress(`libtorch: unpacking ${megabytes(statSync(wheel).size)}`);
    const { cuda, bytes, requires } = unpack(python, wheel, partial);
    rmSync(wheel);
    if (cuda) await fetchNvidiaLibraries(setup, python, requires, partial, dirname(target));
    setup.say(`  libtorch: ${megabytes(bytes)} on disk`);
    replaceFolder(partial, target);
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
}
