import { createRequire } from 'node:module';
import { join } from 'node:path';
import { XlembedError } from '../errors.js';

/**
 * Path of a module in a data package that is not installed with xlembed: seen from xlembed itself, then from the
 * current folder. Throws PACKAGE_MISSING with the command that installs it.
 */
export function resolveInPackage(packageName: string, specifier: string): string {
  for (const from of [import.meta.url, join(process.cwd(), 'package.json')]) {
    try {
      return createRequire(from).resolve(specifier);
    } catch {}
  }
  throw new XlembedError(
    'PACKAGE_MISSING',
    `the npm package ${packageName} is not installed`,
    `run: npm install ${packageName}`,
  );
}
