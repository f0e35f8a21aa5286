import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { TestContext } from 'node:test';
import { pathToFileURL } from 'node:url';

/** Imports one of the plain JavaScript modules under scripts/, which take no part in the compilation. */
export const load = (path: string) => import(pathToFileURL(resolve(path)).href);

/** A folder that goes when the test ends. */
export function temporaryFolder(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'xlembed-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A package root of its own with our scripts: what they do to it does not touch this checkout. */
export function copyOfScripts(context: TestContext): string {
  const folder = temporaryFolder(context);
  for (const name of ['scripts', 'package.json', 'CMakeLists.txt']) {
    cpSync(name, join(folder, name), { recursive: true });
  }
  return folder;
}

/** The part of createSetup's result that the steps use; remembers what was said. */
export function silentSetup(options: Record<string, boolean> = {}) {
  const said: string[] = [];
  return { options, said, say: (text: string) => said.push(text), progress: () => {} };
}
