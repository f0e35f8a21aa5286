/**
 * Items between two stages of a pipeline. The producer waits while `capacity` items lie in the queue: a slow stage slows
 * the ones before it, and memory stays bounded.
 */
export class BoundedQueue<Item> implements AsyncIterable<Item> {
  readonly #items: Item[] = [];
  #ended = false;
  #left = false;
  #failure: { cause: unknown } | undefined;
  #wakeProducer: (() => void) | undefined;
  #wakeConsumer: (() => void) | undefined;
  #pumped: Promise<void> | undefined;
  readonly #meter = new FillMeter();

  constructor(
    readonly name: string,
    readonly capacity: number,
  ) {}

  /**
   * A queue that reads `source` ahead of its consumer. A failure of the source comes out behind the items before it; a
   * consumer that leaves early closes the source, and waits for that.
   */
  static ahead<Item>(source: AsyncIterable<Item>, name: string, capacity: number): BoundedQueue<Item> {
    const queue = new BoundedQueue<Item>(name, capacity);
    queue.#pumped = queue.#pump(source);
    return queue;
  }

  /** Items that wait now. */
  get fill(): number {
    return this.#items.length;
  }

  /** Items that waited on the average over time, as a share of the capacity. */
  get meanFill(): number {
    return this.#meter.mean() / this.capacity;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Item, void, undefined> {
    try {
      for (;;) {
        while (this.#items.length === 0 && !this.#ended) {
          await new Promise<void>((resolve) => {
            this.#wakeConsumer = resolve;
          });
        }
        if (this.#items.length === 0) break;
        const item = this.#items.shift()!;
        this.#changed();
        yield item;
      }
      if (this.#failure) throw this.#failure.cause;
    } finally {
      this.#left = true;
      this.#changed();
      await this.#pumped;
    }
  }

  async #pump(source: AsyncIterable<Item>): Promise<void> {
    try {
      for await (const item of source) {
        if (!(await this.#push(item))) break;
      }
    } catch (cause) {
      this.#failure = { cause };
    } finally {
      this.#ended = true;
      this.#wakeConsumer?.();
    }
  }

  /** False when nobody takes items any more. */
  async #push(item: Item): Promise<boolean> {
    while (this.#items.length >= this.capacity && !this.#left) {
      await new Promise<void>((resolve) => {
        this.#wakeProducer = resolve;
      });
    }
    if (this.#left) return false;
    this.#items.push(item);
    this.#changed();
    return true;
  }

  #changed(): void {
    this.#meter.set(this.#items.length);
    this.#wakeConsumer?.();
    this.#wakeProducer?.();
  }
}

/** The mean of a value over time. */
class FillMeter {
  readonly #begun = performance.now();
  #since = this.#begun;
  #value = 0;
  #sum = 0;

  set(value: number): void {
    const now = performance.now();
    this.#sum += this.#value * (now - this.#since);
    this.#since = now;
    this.#value = value;
  }

  mean(): number {
    this.set(this.#value);
    const elapsed = this.#since - this.#begun;
    return elapsed > 0 ? this.#sum / elapsed : this.#value;
  }
}
