import assert from 'node:assert/strict';
import { test } from 'node:test';
import { windowsOf } from '#xlembed/encoding/windows.js';

const sizes = (texts: string[], charactersOfText: number) =>
  [...windowsOf(texts, charactersOfText)].map((window) => window.texts.length);

test('windows end after so many texts, or so many characters that count', () => {
  assert.deepEqual(sizes([], 100), []);
  assert.deepEqual(sizes(new Array(9000).fill('short'), 100), [4096, 4096, 808]);
  assert.deepEqual(sizes(new Array(5).fill('x'.repeat(2 ** 19)), Number.POSITIVE_INFINITY), [2, 2, 1]);
  assert.deepEqual(sizes(new Array(5).fill('x'.repeat(2 ** 19)), 100), [5]);
  assert.deepEqual(sizes(['x'.repeat(2 ** 21), 'a', 'b'], Number.POSITIVE_INFINITY), [1, 2]);
});

test('windows hold all texts in order', () => {
  const texts = Array.from({ length: 3000 }, (_, n) => `${n} `.repeat(1 + (n % 700)));
  const windows = [...windowsOf(texts, 2000)];
  assert.ok(windows.length > 2);
  assert.deepEqual(
    windows.flatMap((window) => window.texts),
    texts,
  );
  for (const { first, texts: some } of windows) assert.equal(some[0], texts[first]);
});
