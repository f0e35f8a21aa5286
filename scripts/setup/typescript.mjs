// Step 2: TypeScript to dist/, and the tests to .build/test.
import { chmodSync, existsSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fingerprint, listFiles, readJson, root, writeJson } from './shared.mjs';

const statePath = join(root, '.build', 'typescript.json');
const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');

const isSource = (name) => name.endsWith('.ts') && !name.endsWith('.d.ts');

/** Compiled files whose source is gone: left there, a removed test would go on running. */
function removeOrphans(sourceFolder, outFolder) {
  for (const file of listFiles(outFolder, (name) => /\.(js|js\.map|d\.ts)$/.test(name))) {
    const source = join(sourceFolder, relative(outFolder, file)).replace(/\.(js|js\.map|d\.ts)$/, '.ts');
    if (!existsSync(source)) rmSync(file);
  }
}

/**
 * Compiles one project unless its sources are those of the last time and every output is there.
 * @param {{ name: string, project: string, from: string, to: string, buildInfo: string, also: string[] }} project
 */
async function compileProject(setup, { name, project, from, to, buildInfo, also }) {
  const sources = listFiles(from, isSource);
  const hash = fingerprint(
    [process.version],
    [...sources, ...also, join(root, project), join(root, 'package-lock.json')].filter((path) =>
      existsSync(path),
    ),
  );
  const outputOf = (source) => join(to, relative(from, source)).replace(/\.ts$/, '.js');
  const complete = sources.every((source) => existsSync(outputOf(source)));
  const state = readJson(statePath) ?? {};
  if (state[name] === hash && complete && !setup.options.force) return 'up to date';
  // tsc believes its own record of what it wrote, also when those files are gone.
  if (!complete || setup.options.force) rmSync(buildInfo, { force: true });
  await setup.run(process.execPath, [tsc, '-p', project], {
    what: `compiling ${relative(root, from)}/`,
    remedy: 'mend the errors above',
  });
  removeOrphans(from, to);
  writeJson(statePath, { ...state, [name]: hash });
  return `${sources.length} files compiled`;
}

export async function compileSources(setup) {
  const detail = await compileProject(setup, {
    name: 'src',
    project: 'tsconfig.json',
    from: join(root, 'src'),
    to: join(root, 'dist'),
    buildInfo: join(root, '.build', 'src.tsbuildinfo'),
    also: [],
  });
  const cli = join(root, 'dist', 'cli', 'main.js');
  if (existsSync(cli)) chmodSync(cli, 0o755);
  return [undefined, detail];
}

export async function compileTests(setup) {
  const detail = await compileProject(setup, {
    name: 'test',
    project: 'test/tsconfig.json',
    from: join(root, 'test'),
    to: join(root, '.build', 'test'),
    buildInfo: join(root, '.build', 'test.tsbuildinfo'),
    also: [join(root, 'tsconfig.json'), ...listFiles(join(root, 'src'), isSource)],
  });
  return [undefined, detail];
}
