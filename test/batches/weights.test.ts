import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RandomStream } from '#xlembed/batches/philox.js';
import { Shuffle } from '#xlembed/batches/shuffle.js';
import { WeightedChoice } from '#xlembed/batches/weighted_choice.js';
import { cellWeights, temperedRatio } from '#xlembed/batches/weights.js';
import { range } from './datasets.js';

test('the tempered ratio is the power that Math.pow computes', () => {
  for (const [count, largest] of [
    [1, 1],
    [1, 7],
    [999, 1000],
    [3, 500_000],
    [123_456, 20_000_001],
  ] as const) {
    for (const temperature of [0.5, 1, 2, 3.3, 100]) {
      const expected = (count / largest) ** (1 / temperature);
      assert.ok(Math.abs(temperedRatio(count, largest, temperature) / expected - 1) < 1e-9);
    }
  }
});

test('weights are positive integers in the wanted proportion', () => {
  assert.deepEqual(cellWeights([5, 1], 'equal'), [1, 1]);
  assert.deepEqual(cellWeights([5, 1], 'proportional'), [5, 1]);
  assert.deepEqual(cellWeights([400, 100], { temperature: 2 }), [2 ** 32, 2 ** 31]);
  assert.deepEqual(cellWeights([1_000_000, 1], { temperature: 0.01 }), [2 ** 32, 1]);
});

test('a weighted choice gives every item its number of tickets, before and after removals', () => {
  const weights = [3, 1, 0, 5, 2, 2 ** 40, 4];
  const choice = WeightedChoice.of(weights);
  const tickets = (from: WeightedChoice) =>
    range(11)
      .map((ticket) => from.at(ticket))
      .join('');
  assert.equal(tickets(choice), '00013333344');
  const copy = choice.copy();
  copy.remove(3);
  copy.remove(5);
  assert.equal(copy.total, 10);
  assert.equal(tickets(copy).slice(0, 10), '0001446666');
  assert.equal(tickets(choice), '00013333344');
  assert.equal(choice.at(choice.total - 1), 6);
});

test('a shuffle gives every position once, and every order equally often', () => {
  const orders = new Map<string, number>();
  for (let n = 0; n < 6000; n++) {
    const random = new RandomStream(5, n);
    const shuffle = new Shuffle(3);
    const order = range(4)
      .map(() => shuffle.next(random))
      .join(' ');
    orders.set(order, (orders.get(order) ?? 0) + 1);
  }
  assert.deepEqual([...orders.keys()].sort(), [
    '0 1 2 -1',
    '0 2 1 -1',
    '1 0 2 -1',
    '1 2 0 -1',
    '2 0 1 -1',
    '2 1 0 -1',
  ]);
  for (const count of orders.values()) assert.ok(Math.abs(count - 1000) < 120, `${count} of 1000`);
});
