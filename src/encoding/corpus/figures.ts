import type { TextInput } from '../../datasets/texts.js';
import type { BoundedQueue } from '../../scheduling/bounded_queue.js';

/** How full the queue behind a stage is. */
export interface QueueFigures {
  fill: number;
  capacity: number;
  /** Average over time, as a share of the capacity. */
  mean: number;
}

export type StageName = 'read' | 'tokenise' | 'encode' | 'write';

/** A run as it stands, of this process. */
export interface CorpusFigures {
  documents: number;
  /** Encoded, special tokens included. */
  tokens: number;
  /**
   * Tokens of texts, as a share of all that the device has worked on: there is no padding, so below 1 only where batches
   * were tried again because memory ran out.
   */
  realTokenShare: number;
  /** Texts cut to the model's longest input. */
  truncated: number;
  shards: number;
  seconds: number;
  documentsPerSecond: number;
  tokensPerSecond: number;
  /** Share of the time in which the encoder had a batch to work on. */
  encoderBusy: number;
  /** Behind the stages read, tokenise and encode. */
  queues: Record<'texts' | 'tokens' | 'vectors', QueueFigures>;
  /** The stage that the others wait for. */
  bottleneck: StageName;
  /** Seconds to the end at this rate; undefined where the input's size is not known. */
  secondsLeft: number | undefined;
  /** Tokenizer threads that died and were replaced; their texts were tokenised again. */
  workerRestarts: number;
}

/** Counts what happens, while it happens. */
export class FigureCounter {
  readonly #begun = performance.now();
  #documents = 0;
  #tokens = 0;
  #workedOnTokens = 0;
  #truncated = 0;
  #shards = 0;
  #workerRestarts = 0;
  #underWay = 0;
  #busySince = 0;
  #busy_ms = 0;
  #firstFraction: number | undefined;
  #queues: readonly BoundedQueue<unknown>[] = [];

  constructor(private readonly input: TextInput) {}

  /** The queues behind read, tokenise and encode. */
  watch(...queues: BoundedQueue<unknown>[]): void {
    this.#queues = queues;
  }

  batchBegins(): void {
    this.#firstFraction ??= this.input.fraction;
    if (this.#underWay++ === 0) this.#busySince = performance.now();
  }

  /** With so many tokens, well or not. */
  batchEnds(tokens: number): void {
    this.#workedOnTokens += tokens;
    if (--this.#underWay === 0) this.#busy_ms += performance.now() - this.#busySince;
  }

  encoded(documents: number, tokens: number): void {
    this.#documents += documents;
    this.#tokens += tokens;
  }

  tokenised(truncated: number): void {
    this.#truncated += truncated;
  }

  shardDone(): void {
    this.#shards += 1;
  }

  workerRestarted(): void {
    this.#workerRestarts += 1;
  }

  now(): CorpusFigures {
    const now = performance.now();
    const seconds = (now - this.#begun) / 1000;
    const busy_ms = this.#busy_ms + (this.#underWay > 0 ? now - this.#busySince : 0);
    const [texts, tokens, vectors] = [0, 1, 2].map((n) => queueFigures(this.#queues[n]));
    return {
      documents: this.#documents,
      tokens: this.#tokens,
      realTokenShare: this.#workedOnTokens > 0 ? this.#tokens / this.#workedOnTokens : 1,
      truncated: this.#truncated,
      shards: this.#shards,
      seconds,
      documentsPerSecond: this.#documents / seconds,
      tokensPerSecond: this.#tokens / seconds,
      encoderBusy: busy_ms / 1000 / seconds,
      queues: { texts: texts!, tokens: tokens!, vectors: vectors! },
      bottleneck: bottleneckOf(texts!.mean, tokens!.mean, vectors!.mean),
      secondsLeft: this.#secondsLeft(seconds),
      workerRestarts: this.#workerRestarts,
    };
  }

  /** What was passed over at the start, by a run that resumes, took no time to speak of. */
  #secondsLeft(seconds: number): number | undefined {
    const { fraction } = this.input;
    if (fraction === undefined || this.#firstFraction === undefined) return undefined;
    const done = fraction - this.#firstFraction;
    return done > 0 ? (seconds * (1 - fraction)) / done : undefined;
  }
}

function queueFigures(queue: BoundedQueue<unknown> | undefined): QueueFigures {
  return { fill: queue?.fill ?? 0, capacity: queue?.capacity ?? 0, mean: queue?.meanFill ?? 0 };
}

/** The stage with most waiting before it and least behind it. */
function bottleneckOf(texts: number, tokens: number, vectors: number): StageName {
  const drops: [StageName, number][] = [
    ['read', 1 - texts],
    ['tokenise', texts - tokens],
    ['encode', tokens - vectors],
    ['write', vectors],
  ];
  return drops.reduce((worst, drop) => (drop[1] > worst[1] ? drop : worst))[0];
}
