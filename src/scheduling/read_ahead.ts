import { invalidArgument } from '../errors.js';

/**
 * Maps items in order while up to `depth` further results are prepared beside the one being consumed.
 * A failure, of the input or of `work`, surfaces at its own item, after all earlier results; what had begun
 * behind it is awaited and dropped. Leaving the loop early (`break`, `return()`) does the same and closes the
 * input, so nothing runs on afterwards.
 */
export async function* mapAhead<Item, Result>(
  items: Iterable<Item> | AsyncIterable<Item>,
  work: (item: Item) => Promise<Result> | Result,
  depth: number,
): AsyncGenerator<Result, void, undefined> {
  checkDepth(depth);
  const reader = new OrderedReader(items);
  const window: Promise<IteratorResult<Result, undefined>>[] = [];
  const refill = (size: number) => {
    while (window.length < size) window.push(started(reader.next(), work));
  };
  try {
    for (;;) {
      refill(depth + 1);
      const head = await window.shift()!;
      if (head.done) return;
      refill(depth);
      yield head.value;
    }
  } finally {
    await Promise.allSettled(window);
    await reader.close();
  }
}

/** Reads up to `depth` items ahead of the consumer. */
export function readAhead<Item>(
  items: Iterable<Item> | AsyncIterable<Item>,
  depth: number,
): AsyncGenerator<Item, void, undefined> {
  return mapAhead(items, (item) => item, depth);
}

export interface PrefetchOptions {
  /** Number of the first item. Default 0. */
  from?: number;
  /** Number after the last item. Default: no end. */
  to?: number;
  /** Items prepared beside the one being consumed. */
  depth: number;
}

/**
 * The items source(from), source(from + 1), ... in order, the next `depth` of them prepared while the current
 * one is consumed. Preparation begins with the first next(). Errors and early exits are those of mapAhead.
 */
export function prefetch<Result>(
  source: (n: number) => Promise<Result>,
  { from = 0, to = Number.POSITIVE_INFINITY, depth }: PrefetchOptions,
): AsyncGenerator<Result, void, undefined> {
  checkDepth(depth);
  return mapAhead(count(from, to), source, depth);
}

function* count(from: number, to: number): Generator<number> {
  for (let n = from; n < to; ++n) yield n;
}

function checkDepth(depth: number): void {
  if (!Number.isInteger(depth) || depth < 0) throw invalidArgument('depth', 'an integer of 0 or more', depth);
}

function started<Item, Result>(
  read: Promise<IteratorResult<Item>>,
  work: (item: Item) => Promise<Result> | Result,
): Promise<IteratorResult<Result, undefined>> {
  const result = read.then(async (item) =>
    item.done
      ? { done: true as const, value: undefined }
      : { done: false as const, value: await work(item.value) },
  );
  // Awaited at its turn; until then a failure must not count as unhandled.
  result.catch(() => {});
  return result;
}

/** Calls next() only after the previous one has settled, whatever the input, and never after its end. */
class OrderedReader<Item> {
  readonly #iterator: Iterator<Item> | AsyncIterator<Item>;
  #last: Promise<IteratorResult<Item>> | undefined;

  constructor(items: Iterable<Item> | AsyncIterable<Item>) {
    this.#iterator = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
  }

  next(): Promise<IteratorResult<Item>> {
    const next = async () => this.#iterator.next();
    this.#last = this.#last ? this.#last.then((last) => (last.done ? last : next())) : next();
    this.#last.catch(() => {});
    return this.#last;
  }

  async close(): Promise<void> {
    const ended = await this.#last?.then(
      (last) => last.done === true,
      () => true,
    );
    if (!ended) await this.#iterator.return?.();
  }
}
