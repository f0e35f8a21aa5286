import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, cpus } from 'node:os';

/** What the numbers were made on. */
export function machine() {
  return { processor: cpus()[0]?.model.trim() ?? 'unknown', threads: availableParallelism() };
}

export function versions() {
  const path = createRequire(import.meta.url).resolve('xlembed/package.json');
  return { xlembed: JSON.parse(readFileSync(path, 'utf8')).version, node: process.versions.node };
}
