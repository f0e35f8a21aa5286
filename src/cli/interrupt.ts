/** Exit codes of a process that ends on a signal: 128 + its number. */
const SIGNALS = { SIGINT: 130, SIGTERM: 143 } as const;

/**
 * Watches for SIGINT and SIGTERM. The first one asks the work to come to an end (`exitCode` is set); a second one
 * ends the process at once.
 */
export class Interrupt implements Disposable {
  exitCode: number | undefined;
  readonly #stop = new AbortController();
  /** Aborted by the first signal. */
  readonly signal: AbortSignal = this.#stop.signal;
  readonly #handlers = Object.entries(SIGNALS).map(([signal, code]) => {
    const handler = () => {
      if (this.exitCode !== undefined) process.exit(code);
      this.exitCode = code;
      this.#stop.abort();
      process.stderr.write(`\n${signal}: finishing ${this.unit}; once more to stop at once\n`);
    };
    process.on(signal, handler);
    return [signal, handler] as const;
  });

  /** `unit`: the piece of work that is finished first. */
  constructor(private readonly unit = 'the step') {}

  [Symbol.dispose](): void {
    for (const [signal, handler] of this.#handlers) process.off(signal, handler);
  }
}
