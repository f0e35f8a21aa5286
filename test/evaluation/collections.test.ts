import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { cachedEmbed } from '#xlembed/evaluation/embedding_cache.js';
import type { Embed } from '#xlembed/evaluation/evaluate.js';
import { type CollectionOptions, evaluateCollections } from '#xlembed/evaluation/evaluate_collections.js';
import { evaluateTask } from '#xlembed/evaluation/evaluate_task.js';
import { judgeRun, rankDocuments } from '#xlembed/evaluation/judgements.js';
import { averagePrecision } from '#xlembed/evaluation/measures/ap.js';
import { meanScore } from '#xlembed/evaluation/measures/measure.js';
import { recall } from '#xlembed/evaluation/measures/recall.js';
import type { Collection, CollectionTask } from '#xlembed/evaluation/tasks/task.js';

const folder = mkdtempSync(join(tmpdir(), 'xlembed-collections-'));
after(() => rmSync(folder, { recursive: true }));
const passagesFile = join(folder, 'passages');
writeFileSync(passagesFile, 'x');

/** Small whole numbers: scores are exact and ties are everywhere. */
const dimensions = 3;
let embedded = 0;
const embedNumbers: Embed = async (texts) => {
  embedded += texts.length;
  const data = texts.flatMap((text) => text.split(' ').map(Number));
  return { data: Float32Array.from(data), rows: texts.length, dimensions };
};
const vectorText = (seed: number) => [0, 1, 2].map((d) => ((seed * 48271 + d * 7919) % 5) - 2).join(' ');

const queries = Array.from({ length: 9 }, (_, i) => ({ id: `q${i}`, text: vectorText(3 * i + 1) }));
const passages = Array.from({ length: 57 }, (_, i) => ({ id: `p${i}`, text: vectorText(i) }));
const qrels = new Map(
  queries.map(({ id }, i) => [
    id,
    new Map([
      [`p${(i * 13) % 57}`, 1],
      [`p${(i * 5 + 2) % 57}`, 2],
    ]),
  ]),
);
const task: CollectionTask = {
  kind: 'collection',
  name: 'numbers',
  languages: ['sw'],
  open: async () => ({
    queries,
    qrels,
    published: passages.length,
    files: [passagesFile],
    ignoreOwnId: false,
    passages: async function* () {
      yield* passages;
    },
  }),
};

test('any block size gives the scores of the whole collection, ties included', async () => {
  const numbers = (text: string) => text.split(' ').map(Number);
  const run = new Map(
    queries.map(({ id, text }) => [
      id,
      new Map(
        passages.map((passage) => [
          passage.id,
          numbers(text).reduce((sum, v, d) => sum + v * numbers(passage.text)[d]!, 0),
        ]),
      ),
    ]),
  );
  const measures = [averagePrecision(), recall(10)];
  for (const depth of [12, 1000]) {
    const kept = [...run].map(([id, scores]) => {
      const best = rankDocuments(id, scores).slice(0, depth);
      return [id, new Map(best.map((passage) => [passage, scores.get(passage)!]))] as const;
    });
    const { rankings } = judgeRun(new Map(kept), qrels);
    for (const blockRows of [1, 7, 57, 1000]) {
      const options = { depth, blockRows, measures, similarity: 'dot', keepQueryScores: true } as const;
      const { grid, counts } = await evaluateCollections(task, embedNumbers, options);
      for (const measure of measures) {
        assert.equal(grid[0]!.measures[measure.name], meanScore(measure, rankings.values()));
      }
      assert.equal(counts.candidates.sw, 57);
      assert.equal(grid[0]!.queryScores!.ids.length, 9);
    }
  }
});

test('measures see no further than the depth', async () => {
  const at = async (depth: number) =>
    (await evaluateCollections(task, embedNumbers, { depth, similarity: 'dot', blockRows: 10 })).grid[0]!
      .measures;
  assert.ok((await at(3))['R@10']! < (await at(10))['R@10']!);
  assert.equal((await at(10))['R@10'], (await at(57))['R@10']);
});

test('a query that is a passage does not find itself, where its task says so', async () => {
  const own: CollectionTask = {
    ...task,
    open: async (language) => ({
      ...(await task.open(language)),
      ignoreOwnId: true,
      queries: [{ id: 'p0', text: passages[0]!.text }],
      qrels: new Map([['p0', new Map([['p0', 1]])]]),
    }),
  };
  assert.equal((await evaluateCollections(own, embedNumbers, { depth: 57 })).grid[0]!.measures['R@100'], 0);
});

test('the depth counts without the query itself, found or not', async () => {
  const passages = ['3', '2', '1'].map((x, i) => ({ id: `p${i}`, text: `${x} 0 0` }));
  const found = async (id: string, depth: number) => {
    const relevant = new Map([[id, new Map(passages.map((passage) => [passage.id, 1]))]]);
    const small: CollectionTask = {
      ...task,
      open: async (language) => ({
        ...(await task.open(language)),
        ...{ ignoreOwnId: true, queries: [{ id, text: '1 0 0' }], qrels: relevant },
        passages: async function* () {
          yield* passages;
        },
      }),
    };
    return (await evaluateCollections(small, embedNumbers, { depth, similarity: 'dot' })).grid[0]!.measures;
  };
  for (const id of ['p0', 'other']) assert.equal((await found(id, 1))['R@10'], 1 / 3);
  assert.equal((await found('p0', 2))['R@10'], 2 / 3);
});

test('a query without a relevant passage counts as 0', async () => {
  const measured = async (irrelevant: ReadonlyMap<string, Map<string, number>>) =>
    (
      await evaluateCollections(
        {
          ...task,
          open: async (language) => ({
            ...(await task.open(language)),
            qrels: new Map([...qrels, ...irrelevant]),
          }),
        },
        embedNumbers,
      )
    ).grid[0]!;
  const all = await measured(new Map());
  const fewer = await measured(new Map([['q0', new Map([['p0', 0]])]]));
  assert.deepEqual([all.queries, fewer.queries], [9, 9]);
  assert.ok(fewer.measures['R@100']! <= 8 / 9 && all.measures['R@100'] === 1);
});

test('what is finished is not done again; what changed is', async () => {
  const cache = { folder: join(folder, 'cache'), identity: 'model 1' };
  const run = async (options: object = {}) => {
    embedded = 0;
    const result = await evaluateTask(task, embedNumbers, { cache, ...options });
    return { result, embedded };
  };
  const first = await run();
  assert.equal(first.embedded, 66);
  const second = await run();
  assert.equal(second.embedded, 0);
  assert.deepEqual(second.result, first.result);
  assert.equal((await run({ cache: { ...cache, identity: 'model 2' } })).embedded, 66);
  assert.equal((await run({ similarity: 'dot' })).embedded, 0, 'embeddings are kept apart from the scores');
  assert.equal(readdirSync(join(cache.folder, 'parts')).length, 3);
});

test('whatever a kept result depends on, a change of it gives the result of an evaluation without a cache', async () => {
  const cache = { folder: join(folder, 'changes'), identity: 'model' };
  const swapped = queries.map(({ id }, i) => ({ id, text: queries[8 - i]!.text }));
  const regraded = new Map([...qrels.keys()].map((id) => [id, qrels.get('q4')!]));
  const reading = (changed: Partial<Collection>): CollectionTask => ({
    ...task,
    open: async (language) => ({ ...(await task.open(language)), ...changed }),
  });
  const shifted = async function* () {
    yield* passages.map(({ id }, i) => ({ id, text: passages[(i + 1) % 57]!.text }));
  };
  const grown = join(folder, 'grown');
  writeFileSync(grown, 'xy');
  const variants: [CollectionTask, CollectionOptions][] = [
    [task, {}],
    [task, { similarity: 'dot' }],
    [task, { depth: 2 }],
    [task, { measures: [recall(3)] }],
    [task, { keepQueryScores: true }],
    [reading({ queries: swapped }), {}],
    [reading({ qrels: regraded }), {}],
    [reading({ files: [grown], passages: shifted }), {}],
  ];
  const results = new Set<string>();
  for (const [changed, options] of variants) {
    const expected = await evaluateTask(changed, embedNumbers, options as object);
    assert.deepEqual(await evaluateTask(changed, embedNumbers, { ...(options as object), cache }), expected);
    results.add(JSON.stringify(expected));
  }
  assert.equal(results.size, variants.length, 'every change shows');
});

test('embeddings come back from the cache in their order, files of many texts and of many bytes included', async () => {
  const wide = 1100;
  const texts = Array.from({ length: 4100 }, (_, i) => `${i}`);
  const embed: Embed = async (some, role) => {
    embedded += some.length;
    const data = new Float32Array(some.length * wide);
    some.forEach((text, row) => {
      data.fill(Number(text) + (role === 'query' ? 0.5 : 0), row * wide, (row + 1) * wide);
    });
    return { data, rows: some.length, dimensions: wide };
  };
  const cached = cachedEmbed(embed, join(folder, 'embeddings'), 'model');
  for (const role of ['query', 'passage', 'query', undefined] as const) {
    assert.deepEqual(await cached(texts, role), await embed(texts, role));
  }
  embedded = 0;
  await cached(texts, 'passage');
  assert.equal(embedded, 0);
});

test('an interrupted evaluation goes on with the texts that are left', async () => {
  const cache = { folder: join(folder, 'interrupted'), identity: 'model' };
  const failing: Embed = async (texts, role) => {
    if (role === 'passage') throw new Error('power cut');
    return embedNumbers(texts, role);
  };
  await assert.rejects(evaluateTask(task, failing, { cache }), /power cut/);
  embedded = 0;
  await evaluateTask(task, embedNumbers, { cache });
  assert.equal(embedded, 57);
});

test('what is damaged in a cache is made again', async () => {
  const cache = { folder: join(folder, 'damaged'), identity: 'model' };
  const first = await evaluateTask(task, embedNumbers, { cache });
  const cut = (name: string) => {
    for (const file of readdirSync(join(cache.folder, name)))
      truncateSync(join(cache.folder, name, file), 100);
  };
  cut('parts');
  cut('embeddings');
  embedded = 0;
  assert.deepEqual(await evaluateTask(task, embedNumbers, { cache }), first);
  assert.equal(embedded, 66);
  await evaluateTask(task, embedNumbers, { cache });
  assert.equal(embedded, 66);
});

test('passages that share an id are refused where a query finds them', async () => {
  const twice: CollectionTask = {
    ...task,
    open: async (language) => ({
      ...(await task.open(language)),
      passages: async function* () {
        yield* passages;
        yield { id: 'p3', text: vectorText(8) };
      },
    }),
  };
  await assert.rejects(evaluateTask(twice, embedNumbers), {
    code: 'TASK_DATA_INVALID',
    message: /every passage of sw once, received p3 again/,
  });
});

test('a language that the task lacks is refused', async () => {
  await assert.rejects(evaluateTask(task, embedNumbers, { languages: ['de'] }), { code: 'INVALID_ARGUMENT' });
});
