// Step 1: the npm modules that package-lock.json asks for.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readJson, root, SetupError } from './shared.mjs';
import { which } from './toolchain.mjs';

/**
 * The first module whose installed version is not the locked one, or undefined. npm keeps what it installed in
 * node_modules/.package-lock.json; packages for other platforms are optional and may be absent.
 */
export function staleModule(locked, installed) {
  for (const [path, wanted] of Object.entries(locked.packages ?? {})) {
    if (path === '' || wanted.link) continue;
    const present = installed?.packages?.[path];
    if (!present && wanted.optional) continue;
    if (present?.version !== wanted.version) return path.replace(/^.*node_modules\//, '');
  }
  return undefined;
}

function npm() {
  const cli = process.env.npm_execpath;
  return cli?.endsWith('.js') ? [process.execPath, cli] : ['npm'];
}

/** Against what an .npmrc or the environment may say: the locked versions, all of them, here. */
const settings = ['--include=dev', '--package-lock=true', '--package-lock-only=false', '--global=false'];

export async function installModules(setup) {
  const locked = readJson(join(root, 'package-lock.json'));
  const installed = readJson(join(root, 'node_modules', '.package-lock.json'));
  const missing = !existsSync(join(root, 'node_modules'));
  const stale = locked && !missing ? staleModule(locked, installed) : missing;
  if (!stale && !setup.options.force) return [undefined, 'up to date'];
  const [command, ...before] = npm();
  if (command === 'npm' && !which('npm')) throw new SetupError('missing: npm', 'install npm');
  setup.progress('npm modules: npm install');
  // Not `npm ci`: it refuses a lock file written where other platforms' optional packages could not be seen. With a
  // lock file `npm install` takes the same versions, checks the same hashes and leaves the file as it is.
  await setup.run(command, [...before, 'install', '--no-save', ...settings], {
    what: 'installing the npm modules',
    remedy: 'look at the messages above: is the npm registry reachable? then run: npm run setup',
  });
  return [
    undefined,
    missing ? 'installed' : stale ? `installed again: ${stale} was another version` : 'installed again',
  ];
}
