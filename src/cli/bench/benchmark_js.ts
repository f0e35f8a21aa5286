import { createRequire } from 'node:module';

/** What is used of benchmark.js 2.1, which brings no types. */
interface Deferred {
  resolve(): void;
}
interface BenchmarkJs {
  error?: unknown;
  stats: { rme: number; sample: number[] };
  run(options: { async: boolean }): void;
  abort(): void;
}
type Constructor = new (options: {
  name: string;
  defer: true;
  fn: (deferred: Deferred) => void;
  minSamples: number;
  maxTime: number;
  minTime: number;
  delay: number;
  onComplete: () => void;
}) => BenchmarkJs;

export interface RoundOptions {
  /** Rounds at least. */
  minimumRounds: number;
  /** After which no more rounds begin. */
  seconds: number;
}

/**
 * Lets benchmark.js decide how many rounds are needed. Times are taken natively inside a round, so that neither the
 * event loop nor the way to the device's thread is in them; benchmark.js sees whole rounds.
 * @returns half the width of the 95 % interval of a round's mean time, relative.
 */
export function repeatRounds(
  name: string,
  round: () => Promise<void>,
  options: RoundOptions,
): Promise<number> {
  // Loaded here: at its first import it measures timers, which no other verb should wait for.
  const Benchmark = createRequire(import.meta.url)('benchmark') as Constructor;
  return new Promise((resolve, reject) => {
    let failure: unknown;
    const benchmark = new Benchmark({
      name,
      defer: true,
      fn: (deferred) => {
        round().then(
          () => deferred.resolve(),
          (error: unknown) => {
            failure = error;
            benchmark.abort();
            reject(error);
          },
        );
      },
      minSamples: options.minimumRounds,
      maxTime: options.seconds,
      // One round a sample: every round already lasts long enough to be timed.
      minTime: 1e-6,
      delay: 0.001,
      onComplete: () => {
        if (failure === undefined) resolve(benchmark.stats.rme / 100);
      },
    });
    benchmark.run({ async: true });
  });
}
