import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { TextInput, type TextOptions } from '#xlembed/datasets/texts.js';

const folder = await mkdtemp(join(tmpdir(), 'xlembed-texts-'));
after(() => rm(folder, { recursive: true }));

async function write(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
}

async function readAll(inputs: string | string[], options?: TextOptions) {
  const input = await TextInput.open(inputs, options);
  const all: [string, string][] = [];
  for await (const { id, text } of input) all.push([id, text]);
  return { all, counts: input.counts };
}

async function read(name: string, content: string | Uint8Array, options?: TextOptions) {
  return readAll(await write(name, content), options);
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
  const lines = '{"id":"x","text":"one"}\n\n{"text":""}\n{"id":9,"text":"two"}\n{"_id":"y","text":"three"}\n';
  const { all, counts } = await read('a.jsonl', lines);
  assert.deepEqual(all, [
    ['x', 'one'],
    ['3', ''],
    ['9', 'two'],
    ['y', 'three'],
  ]);
  assert.deepEqual(counts, { texts: 4, empty: 1, skipped: 0 });
});

test('a line without the id that was named is malformed', async () => {
  const lines = '{"key":"x","text":"one"}\n{"kye":"y","text":"two"}\n{"key":null,"text":"three"}\n';
  await assert.rejects(read('named.jsonl', lines, { idColumn: 'key' }), {
    code: 'MALFORMED_LINE',
    message: `expected an id for key in ${join(folder, 'named.jsonl')} line 2, received nothing`,
  });
  const { all, counts } = await read('named.jsonl', lines, { idColumn: 'key', onMalformed: 'skip' });
  assert.deepEqual(all, [['x', 'one']]);
  assert.equal(counts.skipped, 2);
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
  const input = await TextInput.open(await write('again.txt', 'a\n\n'));
  for (let turn = 0; turn < 2; ++turn) for await (const _ of input);
  assert.deepEqual(input.counts, { texts: 2, empty: 1, skipped: 0 });
});

test('.csv: quotes, line ends in quotes, a byte order mark, columns by name; joined columns', async () => {
  const table = '\uFEFFkey,title,body\r\n1,"a, b","x\ny ""z"""\r\n2,,w\r\n';
  const columns = { idColumn: 'key', textColumns: ['title', 'body'] };
  const { all } = await read('a.csv', table, columns);
  assert.deepEqual(all, [
    ['1', 'a, b x\ny "z"'],
    ['2', 'w'],
  ]);
  assert.deepEqual((await read('a.csv.gz', gzipSync(table), columns)).all, all);
  await assert.rejects(readAll(join(folder, 'a.csv'), { textColumns: ['text'] }), {
    code: 'INVALID_ARGUMENT',
    message: /one of key, title, body in .*a\.csv/,
  });
});

test('.csv: a row with other values than the header, or a quote that is never closed, is malformed', async () => {
  const table = 'id,text\n1,one\n2,two,three\n4,"fo"ur\n5,five\n6,"six\n7,seven\n';
  await assert.rejects(read('b.csv', table), { code: 'MALFORMED_LINE', message: /2 values.*line 3/ });
  const { all, counts } = await read('b.csv', table, { onMalformed: 'skip' });
  assert.deepEqual(all, [
    ['1', 'one'],
    ['4', '"fo"ur'],
    ['5', 'five'],
  ]);
  assert.equal(counts.skipped, 3, 'the row of three values, and both lines behind the open quote');
  const open = 'id,text\n1,one\n\n2,"two\n3,three\n4,four\n';
  const swallowed = await read('c.csv', open, { onMalformed: 'skip' });
  assert.equal(swallowed.counts.skipped, 4);
  assert.match(swallowed.counts.firstSkipped ?? '', /quote that is closed .* line 3,/);
});

test('.csv and .tsv: rows may end in other ways than the header', async () => {
  const rows = [
    ['1', 'a'],
    ['2', 'b'],
    ['3', 'c'],
  ];
  assert.deepEqual((await read('lf.csv', 'id,text\n1,a\r\n2,b\r\n3,c\r\n')).all, rows);
  assert.deepEqual((await read('crlf.csv', 'id,text\r\n1,a\n2,b\n3,c\n')).all, rows);
  assert.deepEqual((await read('cr.tsv', 'id\ttext\n1\ta\r2\tb\r\n3\tc')).all, rows);
});

test('.csv: what is not UTF-8 is malformed, behind a byte order mark too; UTF-16 is read behind its own', async () => {
  const latin = Buffer.from('id,text\n1,caf\xe9\n2,b\n', 'latin1');
  for (const bytes of [latin, Buffer.concat([Buffer.from('\uFEFF'), latin])]) {
    await assert.rejects(read('latin.csv', bytes), {
      code: 'MALFORMED_LINE',
      message: /UTF-8 for the row in .*latin\.csv line 2, received "1,caf\uFFFD" of type string/,
    });
    const { all, counts } = await read('latin.csv', bytes, { onMalformed: 'skip' });
    assert.deepEqual(all, [['2', 'b']]);
    assert.equal(counts.skipped, 1);
  }
  assert.deepEqual((await read('marked.csv', '\uFEFF"id","text"\n"1","é\uFFFD"\n')).all, [['1', 'é\uFFFD']]);
  const wide = Buffer.from('\uFEFFid,text\r\n1,é\r\n', 'utf16le');
  assert.deepEqual((await read('wide.csv', wide)).all, [['1', 'é']]);
});

test('.tsv: quotes are characters', async () => {
  const { all } = await read('a.tsv', 'id\ttext\n1\t"so" he said\n2\t"\n');
  assert.deepEqual(all, [
    ['1', '"so" he said'],
    ['2', '"'],
  ]);
});

test('a table with other separators than its name says is refused with what it seems to have', async () => {
  for (const [header, separator] of [
    ['id;text', '";"'],
    ['sep=;', '";"'],
    ['id\ttext', String.raw`"\t"`],
  ]) {
    await assert.rejects(read('other.csv', `${header}\n1;a\n`), {
      code: 'INVALID_ARGUMENT',
      hint: `values seem to be separated by ${separator}: write a .csv with commas, or a .tsv with tabs`,
    });
  }
});

test('.parquet: columns by name, several row groups, ids where there are some', async () => {
  const count = 2500;
  const data = Array.from({ length: count }, (_, n) => n);
  const bytes = parquetWriteBuffer({
    columnData: [
      { name: 'id', data: data.map((n) => `k${n}`), type: 'STRING' },
      { name: 'text', data: data.map((n) => `text ${n}`), type: 'STRING' },
      { name: 'other', data: data.map((n) => n / 2), type: 'DOUBLE' },
    ],
    rowGroupSize: 1000,
  });
  const { all } = await read('a.parquet', new Uint8Array(bytes));
  assert.equal(all.length, count);
  assert.deepEqual(
    [all[0], all[2499]],
    [
      ['k0', 'text 0'],
      ['k2499', 'text 2499'],
    ],
  );
  const path = join(folder, 'a.parquet');
  await assert.rejects(readAll(path, { textColumns: ['other'] }), {
    code: 'MALFORMED_LINE',
    message: /line 1/,
  });
  await assert.rejects(readAll(path, { textColumns: ['none'] }), { code: 'INVALID_ARGUMENT' });
  await assert.rejects(read('b.parquet', 'no table'), { code: 'MALFORMED_FILE' });
});

test('.parquet: a pointer of git-lfs is named', async () => {
  const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${'0'.repeat(64)}\nsize 9\n`;
  await assert.rejects(read('pointer.parquet', pointer), { code: 'FILE_READ_FAILED', hint: /git lfs pull/ });
});

test('.parquet: 64-bit integers are ids, and no texts', async () => {
  const numbers = [2n, -3n, 2n ** 63n - 1n];
  const bytes = parquetWriteBuffer({
    columnData: [
      { name: 'id', data: numbers, type: 'INT64' },
      { name: 'text', data: ['a', 'b', 'c'], type: 'STRING' },
    ],
  });
  const { all } = await read('int64.parquet', new Uint8Array(bytes));
  assert.deepEqual(
    all.map(([id]) => id),
    ['2', '-3', '9223372036854775807'],
  );
  const path = join(folder, 'int64.parquet');
  await assert.rejects(readAll(path, { textColumns: ['id'] }), {
    code: 'MALFORMED_LINE',
    message: /a text for id .* line 1, received "2" of type bigint/,
  });
  const { counts } = await readAll(path, { textColumns: ['id'], onMalformed: 'skip' });
  assert.equal(counts.skipped, 3);
});

test('.parquet: a row that is not UTF-8 is malformed, and a byte order mark is part of its text', async () => {
  const texts = ['one', '\uFEFFtwo'].map((text) => new TextEncoder().encode(text));
  const data = [texts[0]!, Uint8Array.of(0x61, 0xff), texts[1]!];
  const bytes = parquetWriteBuffer({ columnData: [{ name: 'text', data, type: 'BYTE_ARRAY' }] });
  const { all, counts } = await read('bytes.parquet', new Uint8Array(bytes), { onMalformed: 'skip' });
  assert.deepEqual(all, [
    ['1', 'one'],
    ['3', '\uFEFFtwo'],
  ]);
  assert.match(
    counts.firstSkipped!,
    /expected UTF-8 for the row in .*bytes\.parquet line 2, received "a\uFFFD"/,
  );
});

test('.parquet: the fields of a nested column are no columns', async () => {
  const bytes = parquetWriteBuffer({
    columnData: [
      { name: 'text', data: ['a', 'b'] },
      { name: 'meta', data: [{ id: 'x' }, { id: 'y' }] },
    ],
    schema: [
      { name: 'root', num_children: 2 },
      { name: 'text', type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'REQUIRED' },
      { name: 'meta', num_children: 1, repetition_type: 'REQUIRED' },
      { name: 'id', type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'REQUIRED' },
    ],
  });
  assert.deepEqual((await read('nested.parquet', new Uint8Array(bytes))).all, [
    ['1', 'a'],
    ['2', 'b'],
  ]);
  await assert.rejects(readAll(join(folder, 'nested.parquet'), { idColumn: 'id' }), {
    code: 'INVALID_ARGUMENT',
    message: /one of text, meta in /,
  });
});

test('a BEIR folder: title and text of the corpus, or the queries, by role', async () => {
  const beir = join(folder, 'beir');
  await mkdir(beir);
  await write(
    'beir/corpus.jsonl',
    '{"_id":"d1","title":"T","text":"x","metadata":{}}\n{"_id":"d2","title":"","text":"y"}\n',
  );
  await write('beir/queries.jsonl', '{"_id":"q1","text":"what"}\n');
  assert.deepEqual((await readAll(beir, { role: 'passage' })).all, [
    ['d1', 'T x'],
    ['d2', 'y'],
  ]);
  assert.deepEqual((await readAll(beir, { role: 'query' })).all, [['q1', 'what']]);
  await assert.rejects(readAll(folder), { code: 'INVALID_ARGUMENT', message: /corpus\.jsonl/ });
});

test('several files and globs in the order of their names; line numbers tell their file', async () => {
  await mkdir(join(folder, 'many'));
  await write('many/2.txt', 'c\n');
  await write('many/1.txt', 'a\nb\n');
  const { all } = await readAll(join(folder, 'many', '*.txt'));
  assert.deepEqual(all, [
    ['1.txt:1', 'a'],
    ['1.txt:2', 'b'],
    ['2.txt:1', 'c'],
  ]);
  await assert.rejects(readAll(join(folder, 'many', '*.csv')), { code: 'FILE_NOT_FOUND' });
});

test('a glob from the root gives names from the root, wherever the process is', async () => {
  await mkdir(join(folder, 'root'));
  await write('root/a.txt', 'A\n');
  const { files } = await TextInput.open(join(folder, 'root', '*.txt'));
  assert.deepEqual(
    files.map(({ path }) => path),
    [join(folder, 'root', 'a.txt')],
  );
});

test('another kind of file is refused before it is opened, unless its format is named', async () => {
  const path = await write('corpus.doc', 'one\n');
  await assert.rejects(TextInput.open(path), {
    code: 'INVALID_ARGUMENT',
    message:
      /^expected a file ending with \.txt, \.jsonl, .* for path, received ".*corpus\.doc" of type string$/,
  });
  assert.deepEqual((await readAll(path, { format: 'txt' })).all, [['1', 'one']]);
  await assert.rejects(TextInput.open('-'), { code: 'INVALID_ARGUMENT', message: /format/ });
  await assert.rejects(TextInput.open('-', { format: 'parquet' }), {
    code: 'INVALID_ARGUMENT',
    hint: /write it to a file/,
  });
  await assert.rejects(readAll(await write('a.parquet.gz', '')), { code: 'INVALID_ARGUMENT' });
  await assert.rejects(TextInput.open(join(folder, 'none.txt')), { code: 'FILE_NOT_FOUND' });
});
