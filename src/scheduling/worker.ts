import type { Transferable } from 'node:worker_threads';
import { move, transferableSymbol, valueSymbol } from 'piscina';
import { type ErrorCode, XlembedError } from '../errors.js';

/** What crosses from a thread: structured cloning would drop an error's code and hint. */
export type Reply<Result> =
  | { ok: true; result: Result }
  | { ok: false; code: ErrorCode; message: string; hint: string };

/** What a handler returns when buffers of its result shall move instead of being copied. */
export class Transferred<Result> {
  constructor(
    readonly result: Result,
    readonly buffers: Transferable[],
  ) {}
}

/** Makes a worker file's default export out of its handler. */
export function serve<Task, Result>(
  handler: (task: Task) => Promise<Result | Transferred<Result>> | Result | Transferred<Result>,
): (task: Task) => Promise<unknown> {
  return async (task) => {
    try {
      const result = await handler(task);
      return result instanceof Transferred ? moved(result) : ({ ok: true, result } satisfies Reply<Result>);
    } catch (error) {
      if (!(error instanceof XlembedError)) throw error;
      const { code, message, hint } = error;
      return { ok: false, code, message, hint } satisfies Reply<Result>;
    }
  };
}

/** A reply's result; throws the error that a failed one carries. */
export function revived<Result>(reply: Reply<Result>): Result {
  if (reply.ok) return reply.result;
  throw new XlembedError(reply.code, reply.message, reply.hint);
}

function moved<Result>({ result, buffers }: Transferred<Result>): unknown {
  const reply: Reply<Result> = { ok: true, result };
  return move({ [transferableSymbol]: buffers, [valueSymbol]: reply } as never);
}
