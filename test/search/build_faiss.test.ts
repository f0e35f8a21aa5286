import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { TextInput } from '#xlembed/datasets/texts.js';
import type { CorpusOptions } from '#xlembed/encoding/corpus/options.js';
import { readEmbeddings, writeEmbeddingsFolder } from '#xlembed/encoding/embeddings_folder.js';
import { buildFaissIndex, type FaissBuildOptions } from '#xlembed/search/build_faiss.js';
import { FaissIndex } from '#xlembed/search/faiss_index.js';
import { documentOf, sharedEncoder, temporaryFolder, writeCorpus } from '../encoding/corpus/corpus.js';
import { withFaiss } from '../faiss.js';
import { coded } from './coded.js';
import { randomVectors } from './vectors.js';

const folder = await temporaryFolder();
const encoder = await sharedEncoder();
const ROWS = 2000;
const corpus = join(folder, 'corpus.jsonl');
await writeCorpus(corpus, ROWS);
let outputs = 0;
const newFolder = () => join(folder, `output${++outputs}`);

async function embedded(options: CorpusOptions = {}, input = corpus): Promise<string> {
  const output = newFolder();
  await encoder.encodeCorpus(await TextInput.open(input), output, { rowsPerShard: 300, ...options });
  return output;
}

const embeddings = await embedded();
const recipe: FaissBuildOptions = { factory: 'IVF4,SQ8', trainingRows: 400 };

const contentOf = (output: string) =>
  Object.fromEntries(
    readdirSync(output)
      .sort()
      .map((name) => [name, readFileSync(join(output, name)).toString('base64')]),
  );

test('an index of all rows, by name, with their texts', withFaiss, async () => {
  const output = newFolder();
  const stages = new Set<string>();
  const built = await buildFaissIndex(embeddings, output, {
    factory: 'IVF8,Flat',
    onProgress: ({ stage, rows, total }) => {
      stages.add(stage);
      assert.ok(rows > 0 && rows <= total);
    },
  });
  assert.deepEqual(built, { complete: true, rows: ROWS, dimensions: encoder.dimensions });
  assert.deepEqual([...stages], ['training', 'adding']);
  assert.deepEqual(readdirSync(output).sort(), ['ids.jsonl', 'index.faiss', 'job.json']);
  assert.equal(existsSync(`${output}.building`), false);
  const index = await FaissIndex.load(output);
  assert.equal(index.size, ROWS);
  assert.equal(index.ids[1234], 'd1234');
  await index.setParameters({ nprobe: 8 });
  const queries = await encoder.encode([documentOf(7).text, documentOf(1999).text]);
  for (const [q, hits] of (await index.search(queries, 3)).entries())
    assert.ok(hits.some(({ id }) => documentOf(Number(id.slice(1))).text === documentOf([7, 1999][q]!).text));
  index.dispose();
  const line = readFileSync(join(output, 'ids.jsonl'), 'utf8').split('\n')[1999]!;
  assert.deepEqual(JSON.parse(line), { id: 'd1999', text: documentOf(1999).text });
});

test('stopped or broken off anywhere, a build goes on to the same bytes', withFaiss, async () => {
  const whole = newFolder();
  await buildFaissIndex(embeddings, whole, recipe);
  const output = newFolder();
  // While it reads examples; with pieces in the index; and, twice, in the middle of a piece that no checkpoint has.
  for (const [stage, least] of [
    ['training', 300],
    ['adding', 300],
    ['adding', 900],
  ] as const) {
    const stop = new AbortController();
    const { complete, rows } = await buildFaissIndex(embeddings, output, {
      ...recipe,
      resume: true,
      signal: stop.signal,
      onProgress: (progress) => progress.stage === stage && progress.rows >= least && stop.abort(),
    });
    assert.deepEqual([complete, rows], [false, stage === 'training' ? 0 : least]);
    assert.equal(existsSync(output), false);
  }
  for (const least of [1500, 1800]) {
    const broken = buildFaissIndex(embeddings, output, {
      ...recipe,
      resume: true,
      checkpointEvery_ms: 0,
      onProgress: ({ stage, rows }) => {
        assert.equal(stage, 'adding', 'it is trained once');
        if (rows >= least) throw new RangeError('broken off');
      },
    });
    await assert.rejects(broken, /broken off/);
  }
  let added = 0;
  const built = await buildFaissIndex(embeddings, output, {
    ...recipe,
    resume: true,
    onProgress: () => ++added,
  });
  assert.deepEqual([built.complete, built.rows, added], [true, ROWS, 2]);
  assert.deepEqual(contentOf(output), contentOf(whole));
  const again = await buildFaissIndex(embeddings, output, {
    ...recipe,
    resume: true,
    onProgress: () => assert.fail('it is there already'),
  });
  assert.equal(again.complete, true);
});

test('a second build in one output is refused while the first works', withFaiss, async () => {
  const output = newFolder();
  let second: Promise<unknown> | undefined;
  const options = { ...recipe, overwrite: true };
  const first = await buildFaissIndex(embeddings, output, {
    ...options,
    onProgress: () => {
      second ??= assert.rejects(
        buildFaissIndex(embeddings, output, options),
        coded('FILE_EXISTS', /at work in .*building/),
      );
    },
  });
  await second;
  assert.equal(first.complete, true);
  assert.equal((await buildFaissIndex(embeddings, output, options)).complete, true);
});

test(
  'an index, or a begun build, that does not say where its vectors came from is gone on with',
  withFaiss,
  async () => {
    const output = newFolder();
    const stop = new AbortController();
    const onProgress = ({ stage, rows }: { stage: string; rows: number }) =>
      stage === 'adding' && rows >= 900 && stop.abort();
    await buildFaissIndex(embeddings, output, { ...recipe, signal: stop.signal, onProgress });
    const withoutOrigin = async (path: string) => {
      const { origin: _origin, ...job } = JSON.parse(readFileSync(path, 'utf8'));
      await writeFile(path, JSON.stringify(job));
    };
    await withoutOrigin(join(`${output}.building`, 'job.json'));
    let added = 0;
    const built = await buildFaissIndex(embeddings, output, {
      ...recipe,
      resume: true,
      onProgress: () => ++added,
    });
    assert.deepEqual([built.complete, added < ROWS / 300], [true, true]);
    assert.ok(JSON.parse(readFileSync(join(output, 'job.json'), 'utf8')).origin);
    await withoutOrigin(join(output, 'job.json'));
    const again = await buildFaissIndex(embeddings, output, { ...recipe, resume: true });
    assert.equal(again.complete, true);
  },
);

test(
  'another recipe begins anew; what is there is replaced only when that is asked for',
  withFaiss,
  async () => {
    const output = newFolder();
    const stop = new AbortController();
    stop.abort();
    await buildFaissIndex(embeddings, output, { ...recipe, signal: stop.signal });
    const flat = { factory: 'Flat', resume: true };
    assert.equal((await buildFaissIndex(embeddings, output, flat)).complete, true);
    await assert.rejects(buildFaissIndex(embeddings, output, { factory: 'Flat' }), coded('FILE_EXISTS'));
    await assert.rejects(
      buildFaissIndex(embeddings, output, { ...recipe, resume: true }),
      coded('FILE_EXISTS'),
    );
    await buildFaissIndex(embeddings, output, { ...recipe, overwrite: true });
    const index = await FaissIndex.load(output);
    assert.equal(index.size, ROWS);
    index.dispose();
  },
);

test('a plain folder of embeddings is a source, too, from any row on', withFaiss, async () => {
  const [plain, output] = [newFolder(), newFolder()];
  const vectors = randomVectors(50, 8, 1);
  const rows = Array.from({ length: 50 }, (_, n) => `p${n}`);
  await writeEmbeddingsFolder(plain, 8, [{ vectors, rows }]);
  await buildFaissIndex(plain, output, { factory: 'Flat', metric: 'l2' });
  const index = await FaissIndex.load(output);
  assert.deepEqual((await index.search(vectors.subarray(8 * 41, 8 * 42), 1))[0], [{ id: 'p41', score: -0 }]);
  index.dispose();
  for await (const piece of readEmbeddings(plain, 48)) {
    assert.deepEqual([piece.firstRow, piece.ids], [48, ['p48', 'p49']]);
    assert.deepEqual(piece.vectors, vectors.subarray(8 * 48));
  }
  const found: string[] = [];
  for await (const { ids } of readEmbeddings(embeddings, 1950)) found.push(...ids);
  assert.deepEqual([found.length, found[0]], [50, 'd1950']);
});

test(
  'to overwrite is to replace an index: embeddings and whatever else is there stay',
  withFaiss,
  async () => {
    const [source, outer] = [await embedded(), newFolder()];
    const before = contentOf(source);
    const flat: FaissBuildOptions = { factory: 'Flat', overwrite: true };
    await mkdir(outer);
    const inner = join(outer, 'inner');
    await rename(source, inner);
    await symlink(inner, source);
    for (const output of [source, inner, outer])
      await assert.rejects(
        buildFaissIndex(source, output, flat),
        coded('INVALID_ARGUMENT', /does not hold the embeddings/),
      );
    await assert.rejects(buildFaissIndex(source, inner, { factory: 'Flat' }), coded('INVALID_ARGUMENT'));
    assert.deepEqual(contentOf(source), before);
    const precious = newFolder();
    await mkdir(join(precious, 'sub'), { recursive: true });
    await assert.rejects(
      buildFaissIndex(source, precious, flat),
      coded('FILE_EXISTS', /holds sub, which is no file of an index/),
    );
    assert.deepEqual(readdirSync(precious), ['sub']);
    const within = join(source, 'faiss');
    await buildFaissIndex(source, within, flat);
    await buildFaissIndex(source, within, flat);
    await assert.rejects(buildFaissIndex(source, within, recipe), {
      code: 'FILE_EXISTS',
      hint: /xlembed index .*--overwrite/,
    });
  },
);

test('what has no index is refused before any work', withFaiss, async () => {
  const output = newFolder();
  const refused = (from: string, error: ReturnType<typeof coded>, options: FaissBuildOptions = recipe) =>
    assert.rejects(buildFaissIndex(from, output, options), error);
  await refused(embeddings, coded('INVALID_ARGUMENT', /factory/), { factory: 'IVF0,Flat' });
  await refused(embeddings, coded('INVALID_ARGUMENT', /trainingRows/), { ...recipe, trainingRows: 0 });
  await refused(await embedded({ precision: 'binary' }), coded('INVALID_ARGUMENT', /binary/));
  const twice = join(folder, 'twice.jsonl');
  await writeFile(twice, '{"id":"a","text":"w9"}\n{"id":"a","text":"w8"}\n');
  await refused(await embedded({ duplicates: 'count' }, twice), coded('DUPLICATE_ID', /1 rows/));
  await refused(join(folder, 'nothing'), coded('FILE_NOT_FOUND'));
  assert.equal(existsSync(`${output}.building`), false);
});
