import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readMtebQrels, readMtebRun } from '#xlembed/evaluation/mteb_files.js';

const folder = mkdtempSync(join(tmpdir(), 'xlembed-mteb-'));
after(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}

test('qrels: a JSON object a line, numbers as ids too', async () => {
  const line = (query: unknown, score: unknown) =>
    JSON.stringify({ 'query-id': query, 'corpus-id': 'd', score });
  assert.deepEqual(
    await readMtebQrels(file('qrels.jsonl', `${line('q1', 2)}\n${line(7, 0)}\n`)),
    new Map([
      ['q1', new Map([['d', 2]])],
      ['7', new Map([['d', 0]])],
    ]),
  );
  for (const bad of [
    line('q', 1.5),
    line('q', 'high'),
    `${line('q', 1)}\n${line('q', 1)}`,
    '{"query-id": "q"}',
    '[]',
  ]) {
    await assert.rejects(readMtebQrels(file('bad.jsonl', bad)), { code: 'MALFORMED_LINE' }, bad);
  }
});

test('a run: by subset and split, other keys left alone', async () => {
  const predictions = {
    mteb_model_meta: { model_name: 'm' },
    de: { dev: { q1: { d1: 0.5, d2: -1 }, q2: {} } },
  };
  const path = file('predictions.json', JSON.stringify(predictions));
  assert.deepEqual(
    await readMtebRun(path, 'de', 'dev'),
    new Map([
      [
        'q1',
        new Map([
          ['d1', 0.5],
          ['d2', -1],
        ]),
      ],
      ['q2', new Map()],
    ]),
  );
  await assert.rejects(readMtebRun(path), { code: 'MALFORMED_FILE', message: /"default"/ });
  await assert.rejects(readMtebRun(path, 'de', 'toString'), { code: 'MALFORMED_FILE' });
  await assert.rejects(readMtebRun(file('text.json', 'no JSON')), { code: 'MALFORMED_FILE' });
  const wrong = file('wrong.json', JSON.stringify({ default: { test: { q: { d: 'high' } } } }));
  await assert.rejects(readMtebRun(wrong), /a number for document d of query q/);
  await assert.rejects(readMtebRun(join(folder, 'none.json')), { code: 'FILE_NOT_FOUND' });
});
