import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { XlembedError } from '#xlembed/errors.js';
import { readBeirQrels, readTrecQrels, readTrecRun } from '#xlembed/evaluation/trec_files.js';

const folder = mkdtempSync(join(tmpdir(), 'xlembed-trec-'));
after(() => rmSync(folder, { recursive: true }));

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

async function refused(promise: Promise<unknown>, code: string, ...mentions: string[]): Promise<void> {
  await assert.rejects(promise, (error) => {
    assert.ok(error instanceof XlembedError);
    assert.equal(error.code, code);
    for (const mention of mentions) assert.ok(error.message.includes(mention), error.message);
    return true;
  });
}

test('a TREC run: any white space between fields, Windows line ends, infinities, no-break spaces in ids', async () => {
  const path = file('run.txt', 'q1 Q0 d1 1 2.5 tag\r\nq1\tQ0  d\u00a02 2 -1e-3 tag\n\nq2 Q0 d1 1 -inf tag\n');
  assert.deepEqual(
    await readTrecRun(path),
    new Map([
      [
        'q1',
        new Map([
          ['d1', 2.5],
          ['d\u00a02', -0.001],
        ]),
      ],
      ['q2', new Map([['d1', Number.NEGATIVE_INFINITY]])],
    ]),
  );
});

test('TREC qrels, plain and packed', async () => {
  const text = 'q1 0 d1 2\nq1 0 d2 -1\nq2 0 d1 0\n';
  const expected = new Map([
    [
      'q1',
      new Map([
        ['d1', 2],
        ['d2', -1],
      ]),
    ],
    ['q2', new Map([['d1', 0]])],
  ]);
  assert.deepEqual(await readTrecQrels(file('qrels.txt', text)), expected);
  assert.deepEqual(await readTrecQrels(file('qrels.txt.gz', gzipSync(text))), expected);
});

test('BEIR qrels: tabs only, with or without the header; ids may hold spaces', async () => {
  const expected = new Map([['query one', new Map([['document one', 1]])]]);
  const line = 'query one\tdocument one\t1\n';
  assert.deepEqual(await readBeirQrels(file('test.tsv', `query-id\tcorpus-id\tscore\n${line}`)), expected);
  assert.deepEqual(await readBeirQrels(file('bare.tsv', line)), expected);
});

test('malformed lines are refused with file and line', async () => {
  const good = 'q1 Q0 d1 1 2.5 tag\n';
  for (const bad of [
    'q1 Q0 d2 1 2.5',
    'q1 Q0 d2 1 high tag',
    'q1 Q0 d2 1 nan tag',
    'q1 Q0 d2 1 2.5 tag more',
  ]) {
    await refused(readTrecRun(file('bad.txt', good + bad)), 'MALFORMED_LINE', 'bad.txt line 2', bad);
  }
  for (const bad of ['q1 0 d1', 'q1 0 d1 1.5', 'q1 0 d1 1 1', 'q1 0 d1 0x1', 'q1 0 d1 one']) {
    await refused(readTrecQrels(file('bad.txt', bad)), 'MALFORMED_LINE', 'bad.txt line 1');
  }
  for (const bad of ['q1 d1 1', 'q1\td1', 'q1\td1\tscore', '\td1\t1', 'q1\td1\t1\t1']) {
    await refused(readBeirQrels(file('bad.tsv', bad)), 'MALFORMED_LINE', 'bad.tsv line 1');
  }
});

test('the same document twice for a query is refused', async () => {
  await refused(
    readTrecQrels(file('twice.txt', 'q 0 d 1\nq 0 d 1\n')),
    'MALFORMED_LINE',
    'twice.txt line 2',
    'once',
  );
});

test('missing and damaged files are refused with the path', async () => {
  await refused(readTrecRun(join(folder, 'none.txt')), 'FILE_NOT_FOUND', 'none.txt');
  await refused(
    readTrecRun(file('cut.gz', gzipSync('q Q0 d 1 1 t\n').subarray(0, 20))),
    'FILE_READ_FAILED',
    'cut.gz',
  );
});
