import type { XlembedError } from '../errors.js';
import { invalidCheckpoint, refusedCheckpoint } from './checkpoint_error.js';

/** A Python tuple; lists are arrays, dicts are Maps, integers beyond 2^53 are bigints. */
export class PickleTuple {
  constructor(readonly items: readonly unknown[]) {}
}

/** A class or function that a pickle may name. Without `call` it may be named, but not called. */
export interface PickleGlobal {
  name: string;
  call?: (args: readonly unknown[]) => unknown;
}

/** What the pickled objects mean to their reader. */
export interface PickleHost {
  /** undefined refuses the name. */
  findGlobal(name: string): PickleGlobal | undefined;
  /** The object that stands outside the pickle under this id. */
  persistentLoad(id: unknown): object;
}

const MAX_OBJECTS = 1 << 20;
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Stack, marks and memo of the pickle machine: one method per thing that opcodes do. */
export class PickleMachine {
  private readonly stack: unknown[] = [];
  private readonly marks: number[] = [];
  private readonly memo = new Map<number, unknown>();
  private at = 0;
  private objects = 0;

  constructor(
    private readonly bytes: Buffer,
    private readonly path: string,
    private readonly host: PickleHost,
  ) {}

  take(length: number): Buffer {
    if (length > this.bytes.length - this.at) throw this.damaged('it is cut off');
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  line(): string {
    const end = this.bytes.indexOf(0x0a, this.at);
    if (end < 0) throw this.damaged('it is cut off');
    const line = this.bytes.toString('utf8', this.at, end);
    this.at = end + 1;
    return line;
  }

  text(length: number): string {
    try {
      return UTF8.decode(this.take(length));
    } catch (cause) {
      if (cause instanceof TypeError) throw this.damaged('a text is not UTF-8');
      throw cause;
    }
  }

  length64(): number {
    const length = this.take(8).readBigUInt64LE();
    if (length > BigInt(this.bytes.length)) throw this.damaged('it is cut off');
    return Number(length);
  }

  push(value: unknown): void {
    this.stack.push(value);
  }

  /** A dict or a tensor takes some bytes in the pickle and hundreds in memory. */
  pushObject(made: object): void {
    if (++this.objects > MAX_OBJECTS) throw this.damaged(`it makes more than ${MAX_OBJECTS} objects`);
    this.stack.push(made);
  }

  /** Values above the last mark belong to it. */
  pop(): unknown {
    if (this.stack.length <= (this.marks.at(-1) ?? 0)) throw this.damaged('its stack is empty');
    return this.stack.pop();
  }

  peek(): unknown {
    const top = this.pop();
    this.stack.push(top);
    return top;
  }

  mark(): void {
    this.marks.push(this.stack.length);
  }

  popMark(): unknown[] {
    const mark = this.marks.pop();
    if (mark === undefined) throw this.damaged('a mark is missing');
    return this.stack.splice(mark);
  }

  popTuple(length: number): void {
    const items = Array.from({ length }, () => this.pop()).reverse();
    this.pushObject(new PickleTuple(items));
  }

  memoize(key: number): void {
    this.memo.set(key, this.peek());
  }

  memoizeNext(): void {
    this.memoize(this.memo.size);
  }

  recall(key: number): void {
    if (!this.memo.has(key)) throw this.damaged(`nothing is remembered under ${key}`);
    this.push(this.memo.get(key));
  }

  append(items: readonly unknown[]): void {
    const list = this.peek();
    if (!Array.isArray(list)) throw this.damaged('it appends to something that is no list');
    for (const item of items) list.push(item);
  }

  setItems(items: readonly unknown[]): void {
    const dict = this.peek();
    if (!(dict instanceof Map) || items.length % 2 !== 0)
      throw this.damaged('it sets items of something that is no dict');
    for (let at = 0; at < items.length; at += 2) dict.set(items[at], items[at + 1]);
  }

  global(module: unknown, name: unknown): void {
    if (typeof module !== 'string' || typeof name !== 'string') throw this.damaged('a global has no name');
    const full = `${module}.${name}`;
    const found = this.host.findGlobal(full);
    if (!found)
      throw refusedCheckpoint(this.path, `the pickle asks for ${JSON.stringify(full.slice(0, 120))}`);
    this.push(found);
  }

  reduce(): void {
    const args = this.pop();
    const callee = this.pop() as PickleGlobal | null;
    if (!(args instanceof PickleTuple)) throw this.damaged('a call has no arguments');
    if (typeof callee !== 'object' || typeof callee?.call !== 'function') {
      throw refusedCheckpoint(this.path, 'the pickle calls something that is no function');
    }
    const made = callee.call(args.items);
    if (typeof made === 'object' && made !== null) this.pushObject(made);
    else this.push(made);
  }

  /** Sets attributes. Only those of a dict (a state dict's `_metadata`) are known; they are left out. */
  build(): void {
    this.pop();
    if (!(this.peek() instanceof Map))
      throw refusedCheckpoint(this.path, 'the pickle sets attributes of an object');
  }

  persistent(): void {
    this.pushObject(this.host.persistentLoad(this.pop()));
  }

  protocol(): void {
    const protocol = this.take(1)[0]!;
    if (protocol > 5) throw this.damaged(`its protocol is ${protocol}, known are 0 to 5`);
  }

  result(): unknown {
    const value = this.pop();
    if (this.stack.length > 0 || this.at !== this.bytes.length)
      throw this.damaged('it does not end after one value');
    return value;
  }

  damaged(what: string): XlembedError {
    return invalidCheckpoint(this.path, `the pickle is damaged at byte ${this.at}: ${what}`);
  }
}
