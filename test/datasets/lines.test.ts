import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import * as zlib from 'node:zlib';
import { type LineOptions, readLines } from '#xlembed/datasets/lines.js';

const folder = await mkdtemp(join(tmpdir(), 'xlembed-lines-'));
after(() => rm(folder, { recursive: true }));

async function lines(name: string, bytes: string | Buffer, options?: LineOptions): Promise<string[]> {
  const path = join(folder, name);
  await writeFile(path, bytes);
  const all: string[] = [];
  for await (const { line, number, replaced } of readLines(path, options)) {
    assert.equal(number, all.length + 1);
    all.push(replaced ? `replaced: ${line}` : line);
  }
  return all;
}

test('LF, CRLF, empty lines, no line end at the end', async () => {
  assert.deepEqual(await lines('a.txt', 'one\r\ntwo\n\nfour\rstill four'), [
    'one',
    'two',
    '',
    'four\rstill four',
  ]);
  assert.deepEqual(await lines('b.txt', 'one\n'), ['one']);
  assert.deepEqual(await lines('c.txt', '\n\n'), ['', '']);
  assert.deepEqual(await lines('d.txt', ''), []);
});

test('only the first byte order mark goes', async () => {
  assert.deepEqual(await lines('bom.txt', '\uFEFFone\n\uFEFFtwo\n'), ['one', '\uFEFFtwo']);
});

test('U+2028 and other separators do not end a line', async () => {
  assert.deepEqual(await lines('separators.txt', 'a\u2028b\u0085c\vd\n'), ['a\u2028b\u0085c\vd']);
});

test('a line and a character may cross any number of chunks', async () => {
  const long = 'ไทย😀'.repeat(100_000);
  assert.deepEqual(await lines('long.txt', `x\n${long}\ny`), ['x', long, 'y']);
});

test('many lines across chunks keep their numbers', async () => {
  const all = Array.from({ length: 60_000 }, (_, n) => `строка ${n}`);
  assert.deepEqual(await lines('many.txt', `${all.join('\r\n')}\r\n`), all);
});

test('a .gz file reads the same; several members too', async () => {
  const bytes = Buffer.concat([zlib.gzipSync('one\ntw'), zlib.gzipSync('o\nthree')]);
  assert.deepEqual(await lines('a.txt.gz', bytes), ['one', 'two', 'three']);
});

test('a damaged or cut archive is an error, not a shorter file', async () => {
  const whole = zlib.gzipSync(Array.from({ length: 5000 }, (_, n) => `line ${n * n}`).join('\n'));
  const path = join(folder, 'cut.txt.gz');
  await assert.rejects(lines('cut.txt.gz', whole.subarray(0, whole.length - 20)), {
    code: 'FILE_READ_FAILED',
    message: `cannot read ${path}: unexpected end of file`,
    hint: 'the archive may be damaged or cut short',
  });
  await assert.rejects(lines('plain.txt.gz', 'not an archive'), { code: 'FILE_READ_FAILED' });
});

/** The shortest Zstandard frame (RFC 8878): magic number, single segment of known size, one raw block, XXH64's low half. */
function zstdFrame(
  text: string,
  { flags = 0, checksum }: { flags?: number; checksum?: number } = {},
): Buffer {
  const content = Buffer.from(text);
  const block = (content.length << 3) | 1;
  const header = [0x28, 0xb5, 0x2f, 0xfd, 0x20 | flags | (checksum === undefined ? 0 : 4)];
  if (flags & 3) header.push(7);
  header.push(content.length, block & 0xff, block >> 8, block >> 16);
  const end = Buffer.alloc(checksum === undefined ? 0 : 4);
  if (checksum !== undefined) end.writeUInt32LE(checksum);
  return Buffer.concat([Buffer.of(...header), content, end]);
}

test('where addresses are not enough for the decoder of .zst, the remedy is to grant more', async (context) => {
  const { WebAssembly } = globalThis as unknown as { WebAssembly: { instantiate(): Promise<unknown> } };
  context.mock.method(WebAssembly, 'instantiate', () => Promise.reject(new RangeError('Out of memory')));
  await assert.rejects(lines('limited.txt.zst', zstdFrame('one\n')), {
    code: 'OUT_OF_MEMORY',
    hint: /ulimit -v/,
  });
});

test('.zst is read, several frames too; a damaged or cut one is an error', async () => {
  const bytes = Buffer.concat([zstdFrame('one\ntwo\n'), zstdFrame('three\n')]);
  assert.deepEqual(await lines('a.txt.zst', bytes), ['one', 'two', 'three']);
  await assert.rejects(lines('b.txt.zst', 'not an archive'), { code: 'FILE_READ_FAILED' });
  await assert.rejects(lines('d.txt.zst', ''), { code: 'FILE_READ_FAILED', hint: /cut short/ });
  assert.deepEqual(await lines('e.txt.zst', zstdFrame('')), []);
  await assert.rejects(lines('c.txt.zst', bytes.subarray(0, bytes.length - 3)), { code: 'FILE_READ_FAILED' });
});

test('the checksum of a .zst is looked at, as xxHash computes it', async () => {
  const numbered = Array.from({ length: 20 }, (_, n) => `line ${n}`);
  const frames = [
    zstdFrame('one\ntwo\n', { checksum: 0x400ea6e6 }),
    zstdFrame(`${numbered.join('\n')}\n`, { checksum: 0x2f1b17cf }),
    // A frame to pass over.
    Buffer.from([0x5f, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 1, 2]),
    zstdFrame('x'.repeat(101), { checksum: 0x8f218076 }),
  ];
  assert.deepEqual(await lines('checked.txt.zst', Buffer.concat(frames)), [
    ...['one', 'two'],
    ...numbered,
    'x'.repeat(101),
  ]);
  const damaged = Buffer.concat(frames);
  damaged[40]! ^= 1;
  await assert.rejects(lines('damaged.txt.zst', damaged), {
    code: 'FILE_READ_FAILED',
    message: `cannot read ${join(folder, 'damaged.txt.zst')}: its content does not fit its checksum`,
    hint: 'the archive may be damaged or cut short',
  });
});

test('a .zst that needs a dictionary, or looks far back, is refused with the remedy', async () => {
  await assert.rejects(lines('dictionary.txt.zst', zstdFrame('one\n', { flags: 1 })), {
    code: 'FILE_READ_FAILED',
    message: `${join(folder, 'dictionary.txt.zst')} needs the dictionary that it was compressed with`,
    hint: 'compress it without one: zstd -D DICTIONARY -dc FILE | zstd -o NEW',
  });
  const wide = Buffer.concat([Buffer.of(0x28, 0xb5, 0x2f, 0xfd, 0, 16 << 3), zstdFrame('one\n').subarray(6)]);
  await assert.rejects(lines('wide.txt.zst', wide), {
    code: 'FILE_READ_FAILED',
    hint: 'compress it in shorter windows: zstd --long=31 -dc FILE | zstd -o NEW',
  });
});

test('a file that is something else than its name says is named with the remedy', async () => {
  const bytes = (text: string) => Buffer.from(text, 'latin1');
  for (const [name, content, what, hint] of [
    ['a.txt', zlib.gzipSync('one\n'), 'compressed with gzip', /end with \.gz/],
    ['a.txt.gz', zstdFrame('one\n'), 'compressed with zstd', /end with \.zst/],
    ['a.txt.bz2', bytes('BZh91AY&SY\0'), 'compressed with bzip2', /bunzip2/],
    ['a.txt.xz', bytes('\xfd7zXZ\0\0'), 'compressed with xz', /unxz/],
    ['a.zip', bytes('PK\x03\x04'), 'a zip archive', /unzip/],
    ['a.jsonl', bytes('PAR1\x15\x04'), 'a Parquet file', /\.parquet/],
    [
      'a.jsonl.gz',
      'version https://git-lfs.github.com/spec/v1\n',
      "git-lfs's pointer to a file",
      /git lfs pull/,
    ],
  ] as const) {
    await assert.rejects(lines(name, content), {
      code: 'FILE_READ_FAILED',
      message: `${join(folder, name)} is ${what}`,
      hint,
    });
  }
});

test('bytes that are not UTF-8 are refused with their line number, or replaced and marked', async () => {
  const bytes = Buffer.concat([
    Buffer.from('fine\nalso fine\n'),
    Buffer.from([0x61, 0xff, 0x62]),
    Buffer.from('\nend'),
  ]);
  await assert.rejects(lines('latin.txt', bytes), {
    code: 'MALFORMED_LINE',
    message: `expected UTF-8 in ${join(folder, 'latin.txt')} line 3, received other bytes`,
  });
  assert.deepEqual(await lines('latin.txt', bytes, { invalidUtf8: 'replace' }), [
    'fine',
    'also fine',
    'replaced: a\uFFFDb',
    'end',
  ]);
});

test('a file without line ends stops at the limit', async () => {
  await assert.rejects(lines('binary.txt', 'x'.repeat(3000), { maxLineBytes: 1000 }), {
    code: 'MALFORMED_LINE',
    message: /expected lines of at most 1000 bytes/,
  });
});

test('a missing file and a folder are coded errors', async () => {
  const first = (path: string) => readLines(path).next();
  await assert.rejects(first(join(folder, 'none.txt')), { code: 'FILE_NOT_FOUND' });
  await assert.rejects(first(join(folder, 'none.txt.gz')), { code: 'FILE_NOT_FOUND' });
  await assert.rejects(first(folder), { code: 'FILE_READ_FAILED' });
});
