import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { BoundedQueue } from '#xlembed/scheduling/bounded_queue.js';

async function* count(to: number, log: number[] = []): AsyncGenerator<number> {
  try {
    for (let n = 0; n < to; ++n) {
      log.push(n);
      yield n;
    }
  } finally {
    log.push(-1);
  }
}

test('items come out in order, and the producer is at most the capacity ahead', async () => {
  const made: number[] = [];
  const queue = BoundedQueue.ahead(count(20, made), 'numbers', 3);
  const taken: number[] = [];
  for await (const item of queue) {
    taken.push(item);
    await sleep(1);
    // `capacity` items wait and one more is in the producer's hand.
    assert.ok(made.filter((n) => n >= 0).length <= taken.length + 4);
    assert.ok(queue.fill <= 3);
  }
  assert.deepEqual(
    taken,
    Array.from({ length: 20 }, (_, n) => n),
  );
  assert.ok(queue.meanFill > 0.3 && queue.meanFill <= 1);
});

test('a failure comes out behind the items before it', async () => {
  async function* failing() {
    yield 1;
    yield 2;
    throw new Error('no more');
  }
  const taken: number[] = [];
  await assert.rejects(async () => {
    for await (const item of BoundedQueue.ahead(failing(), 'numbers', 5)) {
      await sleep(1);
      taken.push(item);
    }
  }, /no more/);
  assert.deepEqual(taken, [1, 2]);
});

test('a consumer that leaves closes the source', async () => {
  const made: number[] = [];
  for await (const item of BoundedQueue.ahead(count(1000, made), 'numbers', 2)) if (item === 5) break;
  assert.equal(made.at(-1), -1);
  assert.ok(made.length < 12);
});
