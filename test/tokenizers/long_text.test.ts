import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { mayBeCut, separatorsOf, TextCutter } from '#xlembed/tokenizers/long_text.js';
import { parseTokenizerJson, type TokenizerJson } from '#xlembed/tokenizers/tokenizer_json.js';
import { TokenizerPool } from '#xlembed/tokenizers/tokenizer_pool.js';
import { folder, goldens, rowsOf } from './goldens.js';

async function json(name: string): Promise<TokenizerJson> {
  const path = `${folder}/${name}/tokenizer.json`;
  return parseTokenizerJson(await readFile(path, 'utf8'), path);
}

/** All goldens one behind the other, often enough, in many arrangements. */
function longText(seed: number, characters: number): string {
  const parts: string[] = [];
  let [state, length] = [seed, 0];
  while (length < characters) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const part = goldens.texts[state % goldens.texts.length]!;
    parts.push(part, state & 65536 ? ' ' : state & 131072 ? '\n' : '');
    length += part.length + 1;
  }
  return parts.join('');
}

for (const name of ['unigram', 'wordpiece']) {
  test(`${name}: a long text cut before it is tokenised keeps its first ids`, async () => {
    const texts = Array.from({ length: 40 }, (_, seed) => longText(seed + 1, 6_000));
    const whole = await TokenizerPool.open(`${folder}/${name}`, { maxTokens: 1_000_000, threads: 2 });
    const expected = rowsOf(await whole.tokenize(texts));
    await whole.close();
    assert.ok(expected.every((ids) => ids.length > 600));
    for (const maxTokens of [3, 17, 64, 300]) {
      const cutting = await TokenizerPool.open(`${folder}/${name}`, { maxTokens, threads: 2 });
      const tokens = await cutting.tokenize(texts);
      await cutting.close();
      assert.deepEqual(
        rowsOf(tokens),
        expected.map((ids) => [...ids.slice(0, maxTokens - 1), ids.at(-1)!]),
      );
      assert.equal(tokens.truncated, texts.length);
    }
  });
}

for (const name of ['unigram', 'wordpiece']) {
  test(`${name}: wherever a text may be cut, the front part gives the first ids of the whole`, async () => {
    const cutter = new TextCutter(' \n\t');
    const tokenizer = await TokenizerPool.open(`${folder}/${name}`, { maxTokens: 1_000_000, threads: 2 });
    for (let seed = 100; seed < 106; ++seed) {
      const text = longText(seed, 3_000);
      const lengths = Array.from({ length: 400 }, (_, n) => n * 7);
      const fronts = [...new Set(lengths.map((length) => cutter.front(text, length)))];
      assert.ok(fronts.length > 50);
      const [whole, ...rows] = rowsOf(await tokenizer.tokenize([text, ...fronts]));
      for (const [n, ids] of rows.entries()) {
        const content = ids.slice(0, -1);
        assert.deepEqual(content, whole!.slice(0, content.length), JSON.stringify(fronts[n]!.slice(-30)));
      }
    }
    await tokenizer.close();
  });
}

test('a text of ten million characters is cut before it is tokenised', async () => {
  const tokenizer = await TokenizerPool.open(`${folder}/unigram`, { maxTokens: 512, threads: 1 });
  const sentence = 'All human beings are born free and equal in dignity and rights. ';
  const [long, short] = [sentence.repeat(160_000), sentence.repeat(80)];
  assert.ok(long.length > 10_000_000);
  const before = process.memoryUsage.rss();
  const tokens = await tokenizer.tokenize([long, short]);
  const grown = process.memoryUsage.rss() - before;
  await tokenizer.close();
  // In whole it would take 150 bytes a character.
  assert.ok(grown < 600e6, `the memory grew by ${grown} bytes`);
  const [first, second] = rowsOf(tokens);
  assert.equal(first!.length, 512);
  assert.deepEqual(first, second);
});

test('few ids from many characters: the front part grows until it suffices', async () => {
  const tokenizer = await TokenizerPool.open(`${folder}/wordpiece`, { maxTokens: 12, threads: 1 });
  const text = `${'word-that-is-long'.repeat(20)} `.repeat(5) + 'x y z '.repeat(500);
  const spaces = `a${' '.repeat(20_000)}b c d`;
  const tokens = await tokenizer.tokenize([text, spaces]);
  await tokenizer.close();
  const whole = await TokenizerPool.open(`${folder}/wordpiece`, { maxTokens: 100_000, threads: 1 });
  const expected = rowsOf(await whole.tokenize([text, spaces]));
  await whole.close();
  const rows = rowsOf(tokens);
  assert.deepEqual(rows[0]!.slice(0, -1), expected[0]!.slice(0, 11));
  assert.deepEqual(rows[1], expected[1]);
});

test('only pipelines that work word by word may be cut', async () => {
  const unigram = await json('unigram');
  assert.equal(mayBeCut(unigram), true);
  assert.equal(mayBeCut(await json('wordpiece')), true);
  assert.equal(mayBeCut({ ...unigram, pre_tokenizer: null }), false);
  assert.equal(mayBeCut({ ...unigram, pre_tokenizer: { type: 'Metaspace', split: false } }), false);
  assert.equal(mayBeCut({ ...unigram, pre_tokenizer: { type: 'ByteLevel' } }), false);
  assert.equal(
    mayBeCut({ ...unigram, normalizer: { type: 'Replace', pattern: { String: ' ' }, content: '▁' } }),
    false,
  );
  const spaced = { ...unigram.added_tokens![0]!, content: 'two words' };
  assert.equal(mayBeCut({ ...unigram, added_tokens: [spaced] }), false);
});

test('separators are what the normaliser turns into a space', () => {
  assert.equal(
    separatorsOf((text) => text),
    ' ',
  );
  assert.equal(
    separatorsOf((text) => text.replace(/[\n\t]/g, ' ')),
    ' \n\t',
  );
});

test('cuts fall between a letter, digit or mark and a letter or digit', () => {
  const cutter = new TextCutter(' \n');
  assert.equal(cutter.front('one two three', 1), 'one');
  assert.equal(cutter.front('one two three', 4), 'one two');
  assert.equal(cutter.front('one  two three', 1), 'one  two');
  assert.equal(cutter.front('one \u0301two,\n3', 1), 'one \u0301two,');
  assert.equal(cutter.front('one two', 4), 'one two');
  assert.equal(cutter.front('one two', 99), 'one two');
  assert.equal(cutter.front('\u0d4e x ก \u0e33', 0), '\u0d4e x');
});
