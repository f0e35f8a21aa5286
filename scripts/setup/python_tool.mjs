// Tools that come as Python wheels (clang-format, clang-tidy): pinned, in the project's cache, without a venv.
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { partialFolder, replaceFolder, runPip } from './fetch_libtorch.mjs';
import { cacheFolder, capture } from './shared.mjs';
import { ensurePip, which } from './toolchain.mjs';

/** Versions decide what is well formatted and what is a finding: one for everybody. */
const toolVersions = { 'clang-format': '23.1.5', 'clang-tidy': '23.1.4' };

/**
 * Path of the tool: the one on the PATH when its version is the pinned one, else from the cache, else fetched.
 * @param {'clang-format' | 'clang-tidy'} name
 */
export async function pythonTool(setup, name) {
  const version = toolVersions[name];
  const onPath = which(name);
  if (onPath && capture(onPath, ['--version'])?.includes(version)) return onPath;
  const folder = join(cacheFolder(), 'tools', `${name}-${version}`);
  const binary = join(folder, name.replace('-', '_'), 'data', 'bin', name);
  if (existsSync(binary)) return binary;
  const python = await ensurePip(setup);
  const partial = partialFolder(folder);
  try {
    const args = ['install', '--no-deps', '--only-binary=:all:', '--target', partial, `${name}==${version}`];
    setup.say(`  fetching ${name} ${version} into ${folder}`);
    await runPip(setup, python, args, partial, name);
    replaceFolder(partial, folder);
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
  return binary;
}
