import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { loadNative } from '../../native.js';

/** V8 by itself lets old garbage grow to several times what is in use. */
const GARBAGE_PERCENT = 10;

/**
 * Keeps a long run's memory where it is after its first minute. Without it nothing leaks, yet it grows by a third over a
 * million short texts: V8 collects old garbage ever later, and the C library keeps what each thread once needed.
 */
export class FlatMemory implements Disposable {
  #isSettled = false;

  constructor() {
    setFlagsFromString(`--heap-growing-percent=${GARBAGE_PERCENT}`);
  }

  /** To be called now and then: some milliseconds, on a thread of its own. */
  async settle(): Promise<void> {
    // The share counts from a full collection, and the first one of a process comes late.
    if (!this.#isSettled) collectGarbage();
    this.#isSettled = true;
    await loadNative().returnFreedMemory();
  }

  /** V8's own policy holds again. */
  [Symbol.dispose](): void {
    setFlagsFromString('--heap-growing-percent=0');
  }
}

function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}
