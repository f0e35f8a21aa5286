import { closeSync, openSync, readFileSync, readSync } from 'node:fs';

/**
 * What the processor that the set-up compiled for has and this one lacks: with the first such instruction the system
 * would end the process. Nothing where the set-up wrote nothing down.
 */
export function missingInstructions(setupState: string): string[] {
  try {
    const { instructions = [] } = JSON.parse(readFileSync(setupState, 'utf8')) as { instructions?: string[] };
    if (instructions.length === 0) return [];
    const here = new Set(/^(?:flags|Features)\s*:(.*)$/m.exec(firstProcessor())?.[1]?.split(' '));
    return here.size === 0 ? [] : instructions.filter((name) => !here.has(name));
  } catch {
    return [];
  }
}

/** Of /proc/cpuinfo its beginning: the whole takes long where there are many processors. */
function firstProcessor(): string {
  const file = openSync('/proc/cpuinfo', 'r');
  try {
    const bytes = Buffer.alloc(16_384);
    return bytes.toString('latin1', 0, readSync(file, bytes));
  } finally {
    closeSync(file);
  }
}
