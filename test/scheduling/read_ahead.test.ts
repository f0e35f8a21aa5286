import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { mapAhead, prefetch, readAhead } from '#xlembed/scheduling/read_ahead.js';

test('items come in order although later ones are ready first', async () => {
  const seen: number[] = [];
  const source = async (n: number) => {
    await sleep(n % 3 === 0 ? 15 : 1);
    return n;
  };
  for await (const n of prefetch(source, { from: 5, to: 17, depth: 4 })) seen.push(n);
  assert.deepEqual(
    seen,
    Array.from({ length: 12 }, (_, n) => n + 5),
  );
});

test('exactly depth items are prepared beside the one consumed', async () => {
  for (const depth of [0, 1, 3]) {
    const begun: number[] = [];
    const items = prefetch(async (n) => begun.push(n), { depth });
    await items.next();
    await sleep(5);
    assert.equal(begun.length, depth + 1, `depth ${depth}`);
    await items.next();
    await sleep(5);
    assert.equal(begun.length, depth + 2, `depth ${depth}`);
    await items.return();
  }
});

test('an error surfaces at its own item, after the results before it', async () => {
  const seen: number[] = [];
  const source = async (n: number) => {
    if (n === 3) throw new Error('item 3');
    await sleep(5);
    return n;
  };
  const loop = async () => {
    for await (const n of prefetch(source, { depth: 5 })) seen.push(n);
  };
  await assert.rejects(loop(), { message: 'item 3' });
  assert.deepEqual(seen, [0, 1, 2]);
});

test('a source that throws without a promise is the same error', async () => {
  const items = prefetch(
    (n) => {
      if (n === 1) throw new RangeError('at once');
      return Promise.resolve(n);
    },
    { depth: 2 },
  );
  assert.deepEqual(await items.next(), { done: false, value: 0 });
  await assert.rejects(items.next(), RangeError);
  assert.deepEqual(await items.next(), { done: true, value: undefined });
});

test('return() waits for what runs, drops its failures and starts nothing more', async () => {
  let running = 0;
  let begun = 0;
  const source = async (n: number) => {
    begun += 1;
    running += 1;
    await sleep(10);
    running -= 1;
    if (n > 0) throw new Error('nobody should hear this');
    return n;
  };
  for await (const _ of prefetch(source, { depth: 3 })) break;
  assert.equal(running, 0);
  assert.equal(begun, 4);
  await sleep(20);
  assert.equal(begun, 4);
});

test('the input is closed on an early exit, and not read after its end', async () => {
  const log: string[] = [];
  async function* input() {
    try {
      yield 'a';
      yield 'b';
      yield 'c';
      log.push('ended');
    } finally {
      log.push('closed');
    }
  }
  for await (const _ of readAhead(input(), 1)) break;
  assert.deepEqual(log, ['closed']);
  log.length = 0;
  const all: string[] = [];
  for await (const item of readAhead(input(), 10)) all.push(item);
  assert.deepEqual(
    [all, log],
    [
      ['a', 'b', 'c'],
      ['ended', 'closed'],
    ],
  );
});

test('next() of the input is never called before the one before has settled', async () => {
  let open = 0;
  let n = 0;
  const input: AsyncIterable<number> = {
    [Symbol.asyncIterator]: () => ({
      async next() {
        open += 1;
        assert.equal(open, 1);
        await sleep(1);
        open -= 1;
        n += 1;
        return n > 8 ? { done: true, value: undefined } : { done: false, value: n };
      },
    }),
  };
  const squares: number[] = [];
  for await (const square of mapAhead(input, async (value) => value * value, 4)) squares.push(square);
  assert.deepEqual(squares, [1, 4, 9, 16, 25, 36, 49, 64]);
  assert.equal(n, 9, 'one call saw the end');
});

test('a failing input fails at its place', async () => {
  function* input() {
    yield 1;
    throw new Error('input broke');
  }
  const items = mapAhead(input(), (value) => value + 1, 3);
  assert.deepEqual(await items.next(), { done: false, value: 2 });
  await assert.rejects(items.next(), { message: 'input broke' });
});

test('a depth that is none is refused at once', () => {
  assert.throws(() => prefetch(async (n) => n, { depth: -1 }), { code: 'INVALID_ARGUMENT' });
  assert.throws(
    () => prefetch(async (n) => n, { depth: 1.5 }),
    /expected an integer of 0 or more for depth, received 1.5/,
  );
});
