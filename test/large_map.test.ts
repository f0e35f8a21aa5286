import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countRepeated, LargeMap } from '#xlembed/large_map.js';

test('a map in parts does what a Map does, in the same order', () => {
  const expected = new Map<string, number>();
  const map = new LargeMap<string, number>([], 3);
  for (let n = 0; n < 200; n++) {
    const key = `key ${(n * 37) % 50}`;
    if (n % 3 === 2) {
      map.delete(key);
      expected.delete(key);
    } else {
      map.set(key, n);
      expected.set(key, n);
    }
    assert.deepEqual(
      [map.size, map.has(key), map.get(key)],
      [expected.size, expected.has(key), expected.get(key)],
    );
  }
  assert.deepEqual([...map], [...expected]);
});

test('values that an earlier one equals are counted', () => {
  assert.equal(countRepeated(['a', 'b', 'a', 'a', 'c', 'b']), 3);
  assert.equal(countRepeated([]), 0);
});
