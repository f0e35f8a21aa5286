import assert from 'node:assert/strict';
import { test } from 'node:test';
import { philox, RandomStream } from '#xlembed/batches/philox.js';
import { range, reducedChiSquare } from './datasets.js';

/** philox4x32-10 rows of kat_vectors, Random123 1.14 (D. E. Shaw Research). */
const KNOWN_ANSWERS = [
  '00000000 00000000 00000000 00000000  00000000 00000000  6627e8d5 e169c58d bc57ac4c 9b00dbd8',
  'ffffffff ffffffff ffffffff ffffffff  ffffffff ffffffff  408f276d 41c83b0e a20bc7c6 6d5451fd',
  '243f6a88 85a308d3 13198a2e 03707344  a4093822 299f31d0  d16cfe09 94fdcceb 5001e420 24126ea1',
];

test('philox gives the known answers of Random123', () => {
  for (const row of KNOWN_ANSWERS) {
    const words = row.split(/ +/).map((word) => Number.parseInt(word, 16));
    const out = new Uint32Array(4);
    philox(Uint32Array.from(words.slice(0, 4)), [words[4]!, words[5]!], out);
    assert.deepEqual([...out], words.slice(6));
  }
});

test('a stream is its seed and n, and no two of them start alike', () => {
  const start = (seed: number, n: number) => {
    const stream = new RandomStream(seed, n);
    return range(6)
      .map(() => stream.nextUint32())
      .join();
  };
  assert.equal(start(3, 4), start(3, 4));
  const big = [0, 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1];
  const starts = big.flatMap((seed) => big.map((n) => start(seed, n)));
  assert.equal(new Set(starts).size, starts.length);
});

test('below is uniform, for bounds within and past 32 bits', () => {
  const stream = new RandomStream(11, 0);
  for (const bound of [1, 2, 7, 100]) {
    const seen = new Array(bound).fill(0);
    for (let i = 0; i < 2000 * bound; i++) seen[stream.below(bound)]++;
    if (bound > 1) assert.ok(reducedChiSquare(seen, new Array(bound).fill(1 / bound)) < 3, `bound ${bound}`);
    else assert.deepEqual(seen, [2000]);
  }
  const wide = 3 * 2 ** 50;
  const thirds = [0, 0, 0];
  for (let i = 0; i < 6000; i++) thirds[Math.floor(stream.below(wide) / 2 ** 50)]!++;
  assert.ok(reducedChiSquare(thirds, [1 / 3, 1 / 3, 1 / 3]) < 5);
});
