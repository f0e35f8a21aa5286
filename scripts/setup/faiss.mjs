// Step 5: FAISS, for approximate search: found, installed where that is quick and allowed, or left out. Never fatal.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { capture } from './shared.mjs';
import { isDebian, which } from './toolchain.mjs';

const debianPackage = 'libfaiss-dev';

/** Folder whose include/faiss says that FAISS is there, or undefined. */
function findFaiss(env = process.env) {
  const folders = [env.FAISS_ROOT, '/usr/local', '/usr'].filter(Boolean);
  return folders.find((folder) => existsSync(join(folder, 'include', 'faiss', 'Index.h')));
}

/** Whether this process may install Debian's package: not where root is missing or was asked to leave it. */
const mayInstall = () => isDebian() && process.getuid?.() === 0 && which('apt-get') && which('timeout');

/** Only downloads have a time limit: an installation that is cut short would have to be repaired. */
async function install(setup) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const apt = (limit_s, ...args) => {
    const command = ['apt-get', '-o', 'Acquire::Retries=0', '-o', 'Acquire::http::Timeout=10', ...args];
    const [tool, ...rest] = limit_s ? ['timeout', String(limit_s), ...command] : command;
    return setup.run(tool, rest, { what: 'apt-get', env });
  };
  const packages = ['install', '-y', '--no-install-recommends', debianPackage];
  if (!capture('apt-cache', ['show', debianPackage])) await apt(60, 'update');
  await apt(120, ...packages, '--download-only');
  await apt(0, ...packages, '--no-download');
}

/**
 * Decides whether the addon is built with FAISS. A failed installation is remembered and tried again with --force.
 * @param {{ use: boolean, tried?: boolean } | undefined} previous what the last set-up decided
 * @returns {Promise<[{ use: boolean, reason: string, tried: boolean }, string]>}
 */
export async function locateFaiss(setup, previous) {
  const decide = (use, reason, tried = false) => [{ use, reason, tried }, reason];
  const wanted = process.env.XLEMBED_FAISS ?? 'AUTO';
  if (wanted === 'OFF') return decide(false, 'XLEMBED_FAISS=OFF');
  const there = findFaiss();
  if (there) return decide(true, `found in ${there}`);
  const remedy = `install it with: apt-get install ${debianPackage}`;
  if (!mayInstall() || (previous?.tried && !setup.options.force)) {
    return decide(wanted === 'ON', `not found; ${remedy}`, previous?.tried ?? false);
  }
  setup.say(`  approximate search: installing ${debianPackage} (XLEMBED_FAISS=OFF leaves it out)`);
  await install(setup).catch(() => {});
  const installed = findFaiss();
  if (installed) return decide(true, `installed ${debianPackage}`, true);
  return decide(wanted === 'ON', `${debianPackage} could not be installed; ${remedy}`, true);
}
