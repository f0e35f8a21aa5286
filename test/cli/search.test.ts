import assert from 'node:assert/strict';
import { cpSync, existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { FlatIndex } from '#xlembed/search/flat_index.js';
import { hasFaiss } from '../faiss.js';
import { temporaryFolder, xlembed } from './run.js';

const MODEL = 'test/reference/encoder/xlm-roberta';
const folder = temporaryFolder();
const at = (name: string) => join(folder, name);

writeFileSync(at('corpus.txt'), Array.from({ length: 60 }, (_, n) => `w${n} w${(n * 7) % 90}\n`).join(''));
const encode = (output: string, ...more: string[]) =>
  xlembed('encode', '--model', MODEL, '--input', at('corpus.txt'), '--output', at(output), ...more);
const encoded = encode('embeddings');

const search = (index: string, ...more: string[]) =>
  xlembed(
    'search',
    '--model',
    MODEL,
    '--index',
    at(index),
    '--query',
    'w12',
    'w8',
    '-k',
    '4',
    '--json',
    ...more,
  );
const index = (factory: string, output: string, ...more: string[]) =>
  xlembed(
    'index',
    '--input',
    at('embeddings'),
    '--factory',
    factory,
    '--output',
    at(output),
    '--json',
    ...more,
  );

test('mapped embeddings and exhaustive FAISS indexes give the hits of an exact search', () => {
  assert.equal(encoded.status, 0, encoded.stderr);
  const exact = search('embeddings');
  assert.equal(exact.status, 0, exact.stderr);
  assert.match(JSON.parse(exact.stdout)[0].hits[0].text, /^w\d+ w\d+$/);
  assert.equal(search('embeddings', '--memory-map').stdout, exact.stdout);
  if (!hasFaiss) return;
  const built = index('IVF2,Flat', 'approximate', '--training-rows', '40');
  assert.equal(built.status, 0, built.stderr);
  const { rows, factory } = JSON.parse(built.stdout);
  assert.deepEqual([rows, factory], [60, 'IVF2,Flat']);
  const withoutScores = (text: string) => JSON.parse(text, (key, value) => (key === 'score' ? 0 : value));
  for (const more of [[], ['--memory-map']]) {
    const found = search('approximate', '--parameters', 'nprobe=2', ...more);
    assert.equal(found.status, 0, found.stderr);
    assert.deepEqual(withoutScores(found.stdout), withoutScores(exact.stdout));
  }
});

test('a prompt is put before each query', () => {
  const hits = (...queries: string[]) =>
    JSON.parse(
      xlembed('search', '--model', MODEL, '--index', at('embeddings'), '--json', '--query', ...queries)
        .stdout,
    ).map((result: { hits: unknown }) => result.hits);
  assert.deepEqual(hits('w12', 'w8', '--query-prompt', 'w5 '), hits('w5 w12', 'w5 w8'));
});

test('of no embeddings there is no index, and one that wants more of them than there are says what to take', () => {
  if (!hasFaiss) return;
  writeFileSync(at('none.txt'), '');
  const args = ['--model', MODEL, '--input', at('none.txt'), '--output', at('empty')];
  const none = xlembed('encode', ...args, '--faiss', 'IVF4,Flat');
  assert.equal(none.status, 0, none.stderr);
  assert.match(none.stderr, /note: without embeddings there is no index/);
  assert.ok(existsSync(at('empty/manifest.json')) && !existsSync(at('empty/faiss')));
  const few = index('IVF64,Flat', 'unlearnt');
  assert.equal(few.status, 1);
  assert.match(few.stderr, /FAISS_FAILED: .*\(60\).*\(64\).*take fewer clusters/s);
});

test('encode --faiss builds the index beside the embeddings, and --resume leaves both as they are', () => {
  const both = encode('both', '--faiss', 'Flat');
  if (!hasFaiss) {
    assert.equal(both.status, 1);
    assert.match(both.stderr, /FAISS_UNAVAILABLE.*libfaiss-dev/s);
    return;
  }
  assert.equal(both.status, 0, both.stderr);
  const found = search('both/faiss');
  assert.equal(found.status, 0, found.stderr);
  const ids = (text: string) =>
    JSON.parse(text).map(({ hits }: { hits: { id: string }[] }) => hits.map(({ id }) => id));
  assert.deepEqual(ids(found.stdout), ids(search('embeddings').stdout));
  const again = encode('both', '--faiss', 'Flat', '--resume');
  assert.equal(again.status, 0, again.stderr);
  assert.equal(search('both/faiss').stdout, found.stdout);
});

test('queries are cut as the embeddings were, in folders of indexes too', async () => {
  assert.equal(encode('cut', '--dimensions', '16', ...(hasFaiss ? ['--faiss', 'Flat'] : [])).status, 0);
  const found = search('cut');
  assert.equal(found.status, 0, found.stderr);
  const loaded = await FlatIndex.load(at('cut'));
  await loaded.save(at('saved'));
  const idsAndScores = (text: string) =>
    JSON.parse(text).map(({ hits }: { hits: { id: string; score: number }[] }) =>
      hits.map(({ id, score }) => [id, score.toFixed(4)]),
    );
  for (const folder of ['saved', ...(hasFaiss ? ['cut/faiss'] : [])]) {
    const again = search(folder);
    assert.equal(again.status, 0, again.stderr);
    assert.deepEqual(idsAndScores(again.stdout), idsAndScores(found.stdout));
  }
});

test('--query-prompt takes the place of the query prompt', () => {
  const plain = JSON.parse(search('embeddings').stdout);
  const prompted = JSON.parse(search('embeddings', '--query-prompt', 'w3 w5 ').stdout);
  assert.notDeepEqual(prompted, plain);
  const written = search('embeddings', '--query', 'w3 w5 w12', '--query-prompt', '');
  assert.deepEqual(JSON.parse(written.stdout)[2].hits, prompted[0].hits);
});

test('another model than that of the embeddings is noted on stderr', () => {
  cpSync(MODEL, at('copy'), { recursive: true });
  for (const folder of ['embeddings', ...(hasFaiss ? ['both/faiss'] : [])]) {
    assert.doesNotMatch(search(folder).stderr, /note/);
    const other = search(folder, '--model', at('copy'));
    assert.equal(other.status, 0, other.stderr);
    assert.match(
      other.stderr,
      /^note: these embeddings were made with the model files of test.*xlm-roberta,/,
    );
  }
});

test('what cannot be built or searched is refused with its code', () => {
  const codeOf = ({ status, stderr }: { status: number | null; stderr: string }) => [
    status,
    /[A-Z]+(_[A-Z]+)+/.exec(stderr)?.[0],
  ];
  assert.deepEqual(codeOf(search('embeddings', '--parameters', 'nprobe=2')), [1, 'INVALID_ARGUMENT']);
  assert.equal(search('embeddings', '--parameters', 'nprobe').status, 2);
  assert.deepEqual(codeOf(index('rubbish', 'none')), [
    1,
    hasFaiss ? 'INVALID_ARGUMENT' : 'FAISS_UNAVAILABLE',
  ]);
  assert.equal(existsSync(at('none')), false);
});
