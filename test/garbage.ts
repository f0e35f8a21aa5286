import { setTimeout } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as (options?: { type: 'minor' }) => void;

/** Collects what nobody refers to, and lets go of what that held outside of V8. */
export async function collectGarbage(): Promise<void> {
  for (let round = 0; round < 3; ++round) {
    gc();
    await setTimeout(1);
  }
}

/** What is alive becomes old: from then on only a full collection finds that nobody refers to it. */
export function makeOld(): void {
  gc({ type: 'minor' });
  gc({ type: 'minor' });
}
