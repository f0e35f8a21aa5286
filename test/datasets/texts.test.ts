import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { TextFile, type TextOptions } from '#xlembed/datasets/texts.js';

const folder = await mkdtemp(join(tmpdir(), 'xlembed-texts-'));
after(() => rm(folder, { recursive: true }));

async function read(name: string, content: string | Buffer, options?: TextOptions) {
  const path = join(folder, name);
  await writeFile(path, content);
  const file = new TextFile(path, options);
  const all: [string, string][] = [];
  for await (const { id, text } of file) all.push([id, text]);
  return { all, counts: file.counts };
}

test('.txt: one text a line, empty ones kept and counted', async () => {
  const { all, counts } = await read('a.txt', 'one\n\nthree\n');
  assert.deepEqual(all, [
    ['1', 'one'],
    ['2', ''],
    ['3', 'three'],
  ]);
  assert.deepEqual(counts, { texts: 3, empty: 1, skipped: 0 });
});

test('.jsonl: id and text, the line number where there is no id', async () => {
  const { all, counts } = await read(
    'a.jsonl',
    '{"id":"x","text":"one"}\n\n{"text":""}\n{"id":9,"text":"two"}\n',
  );
  assert.deepEqual(all, [
    ['x', 'one'],
    ['3', ''],
    ['9', 'two'],
  ]);
  assert.deepEqual(counts, { texts: 3, empty: 1, skipped: 0 });
});

test('a malformed line fails with its number, or is skipped and counted', async () => {
  const lines = '{"text":"one"}\n{"txt":"two"}\n{"text":"three"}';
  await assert.rejects(read('b.jsonl', lines), {
    code: 'MALFORMED_LINE',
    message: `expected a text for text in ${join(folder, 'b.jsonl')} line 2, received nothing`,
  });
  const { all, counts } = await read('b.jsonl', lines, { onMalformed: 'skip' });
  assert.equal(all.length, 2);
  assert.equal(counts.skipped, 1);
  assert.match(counts.firstSkipped ?? '', /line 2/);
  await assert.rejects(read('c.txt', Buffer.from([0x61, 0x0a, 0xff])), {
    code: 'MALFORMED_LINE',
    message: /line 2/,
  });
});

test('reading again starts the counts again', async () => {
  const path = join(folder, 'again.txt');
  await writeFile(path, 'a\n\n');
  const file = new TextFile(path);
  for (let turn = 0; turn < 2; ++turn) for await (const _ of file);
  assert.deepEqual(file.counts, { texts: 2, empty: 1, skipped: 0 });
});

test('another kind of file is refused before it is opened', () => {
  assert.throws(() => new TextFile('corpus.csv'), {
    code: 'INVALID_ARGUMENT',
    message: 'expected a .txt or .jsonl file (.gz allowed) for path, received "corpus.csv" of type string',
  });
});
