import type { InputRow, TextInput, TextRecord } from '../../datasets/texts.js';

/** Texts tokenised and sorted by length together; never of two shards, so that a shard depends on nothing else. */
export interface Window {
  shard: number;
  /** Of its shard. */
  first: boolean;
  last: boolean;
  records: TextRecord[];
  /** Rows of the input that it came from: texts, blank and malformed lines. */
  inputRows: number;
  skippedLines: number;
  firstSkipped?: string;
}

/** A window is full at one of these: enough to fill batches evenly, few enough for memory. */
const WINDOW_TEXTS = 4096;
const WINDOW_CHARACTERS = 2 ** 23;

/**
 * Cuts an input into shards of `rowsPerShard` rows, blank and malformed ones included: where a shard begins is known
 * without parsing what comes before, and is the same in every process and every run.
 */
export class ShardReader {
  /** Shards that the input has; known once its end has been met. */
  shards: number | undefined;

  constructor(
    private readonly input: TextInput,
    private readonly rowsPerShard: number,
  ) {}

  /** The windows of these shards (ascending), up to the end of the input. */
  async *windows(numbers: Iterable<number> | AsyncIterable<number>): AsyncGenerator<Window, void, undefined> {
    const rows = new RowCursor(this.input.rows());
    try {
      for await (const shard of numbers) {
        const found = await rows.skipTo(shard * this.rowsPerShard);
        if (!found) {
          this.shards = Math.ceil(rows.position / this.rowsPerShard);
          return;
        }
        yield* this.#shard(shard, rows);
      }
    } finally {
      await rows.close();
    }
  }

  async *#shard(shard: number, rows: RowCursor): AsyncGenerator<Window> {
    const end = (shard + 1) * this.rowsPerShard;
    const empty = (first: boolean): Window => ({
      ...{ shard, first, last: false, records: [], inputRows: 0, skippedLines: 0 },
    });
    let window = empty(true);
    let characters = 0;
    while (rows.position < end) {
      const row = await rows.next();
      if (!row) break;
      characters += this.#add(row, window);
      if (window.records.length < WINDOW_TEXTS && characters < WINDOW_CHARACTERS) continue;
      // The shard's last window says so: it is given when its end has been seen.
      if (rows.position >= end) break;
      yield window;
      window = empty(false);
      characters = 0;
    }
    yield { ...window, last: true };
  }

  /** Returns the number of characters. */
  #add(row: InputRow, window: Window): number {
    window.inputRows += 1;
    const read = this.input.read(row);
    if (!read) return 0;
    if ('skipped' in read) {
      window.skippedLines += 1;
      window.firstSkipped ??= read.skipped;
      return 0;
    }
    window.records.push(read.record);
    return read.record.text.length;
  }
}

/** Rows one by one, with the number of those taken. */
class RowCursor {
  position = 0;
  #peeked: InputRow | undefined;

  constructor(private readonly rows: AsyncGenerator<InputRow, void, undefined>) {}

  async next(): Promise<InputRow | undefined> {
    const row = this.#peeked ?? (await this.#read());
    this.#peeked = undefined;
    if (row) this.position += 1;
    return row;
  }

  /** False when the input ends at `position` or before. */
  async skipTo(position: number): Promise<boolean> {
    while (this.position < position) if (!(await this.next())) return false;
    this.#peeked ??= await this.#read();
    return this.#peeked !== undefined;
  }

  async close(): Promise<void> {
    await this.rows.return();
  }

  async #read(): Promise<InputRow | undefined> {
    const { value, done } = await this.rows.next();
    return done ? undefined : value;
  }
}
