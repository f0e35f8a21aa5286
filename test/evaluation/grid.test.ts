import assert from 'node:assert/strict';
import { test } from 'node:test';
import { XlembedError } from '#xlembed/errors.js';
import { evaluateGrid, type GridInput, type GridLanguage } from '#xlembed/evaluation/grid.js';
import { judgeRun } from '#xlembed/evaluation/judgements.js';
import { parseMeasure } from '#xlembed/evaluation/measures/parse.js';
import { BruteForceIndex } from './brute_force_index.js';
import { problem, problemShape } from './random_problem.js';

const { dimensions, languages } = problemShape;
const createIndex = (size: number) => new BruteForceIndex(size);

/** Independent of the code under test: scores all candidates, sorts, scores the sorted list. */
function bruteForceRanking(input: GridInput, query: number, from: GridLanguage, to: readonly GridLanguage[]) {
  const vector = from.queries.embeddings.slice(query * dimensions, (query + 1) * dimensions);
  const scored = to.flatMap(({ candidates }) =>
    candidates.ids.map((id, row) => {
      let score = 0;
      for (let d = 0; d < dimensions; d++) score += vector[d]! * candidates.embeddings[row * dimensions + d]!;
      return { id, score, grade: input.qrels.get(`q${query}`)?.get(id) ?? 0 };
    }),
  );
  scored.sort((a, b) => b.score - a.score || (a.id < b.id ? 1 : -1));
  return scored;
}

type Scored = ReturnType<typeof bruteForceRanking>;
const isRelevant = ({ grade }: Scored[number]) => grade > 0;
const oracle: Record<string, (list: Scored) => number> = {
  map: (list) => {
    const hits = list.map((item, i) => [item, i] as const).filter(([item]) => isRelevant(item));
    return hits.reduce((sum, [, i], hit) => sum + (hit + 1) / (i + 1), 0) / hits.length;
  },
  mrr: (list) => 1 / (list.findIndex(isRelevant) + 1),
  recall_at_1: (list) => list.slice(0, 1).filter(isRelevant).length / list.filter(isRelevant).length,
  recall_at_10: (list) => list.slice(0, 10).filter(isRelevant).length / list.filter(isRelevant).length,
  ndcg_at_10: (list) => {
    const gain = (grades: number[]) =>
      grades.slice(0, 10).reduce((sum, g, i) => sum + g / Math.log2(i + 2), 0);
    return gain(list.map(({ grade }) => grade)) / gain(list.map(({ grade }) => grade).sort((a, b) => b - a));
  },
};
const average = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

function expectedMeasures(input: GridInput): Record<string, number> {
  const settings = {
    monolingual: input.languages.map((x) => [x, [x]] as const),
    cross_lingual: input.languages.flatMap((x) =>
      input.languages.filter((y) => y !== x).map((y) => [x, [y]] as const),
    ),
    multilingual: input.languages.map((x) => [x, input.languages] as const),
  };
  const expected: Record<string, number> = {};
  for (const [setting, pairs] of Object.entries(settings)) {
    const lists = pairs.map(([from, to]) =>
      Array.from({ length: 12 }, (_, q) => bruteForceRanking(input, q, from, to)).filter((l) =>
        l.some(isRelevant),
      ),
    );
    for (const [name, score] of Object.entries(oracle)) {
      expected[`${setting}_${name}`] = average(lists.map((queries) => average(queries.map(score))));
    }
    if (setting !== 'multilingual') continue;
    const distance = (list: Scored) => list.findLastIndex(isRelevant) - list.findIndex(isRelevant);
    expected.language_bias = average(lists.map((queries) => average(queries.map(distance))));
  }
  return expected;
}

test('the whole grid equals a full sort of every setting, ties included', async () => {
  for (const seed of [1, 2, 3]) {
    const input = problem(seed);
    const { measures } = await evaluateGrid(input, { createIndex, similarity: 'dot' });
    for (const [name, expected] of Object.entries(expectedMeasures(input))) {
      assert.ok(
        Math.abs(measures[name]! - expected) < 1e-12,
        `seed ${seed} ${name}: ${measures[name]}, not ${expected}`,
      );
    }
    assert.equal(Object.keys(measures).length, 3 * 6 + 1);
  }
});

test('the shares of the languages are those of the first ten passages of every query, judged or not', async () => {
  for (const seed of [1, 2, 3]) {
    const { qrels, ...input } = problem(seed);
    const { pool } = await evaluateGrid(
      { ...input, qrels: new Map([...qrels].slice(2)) },
      { createIndex, similarity: 'dot' },
    );
    for (const row of pool) {
      const from = input.languages.find(({ language }) => language === row.queryLanguage)!;
      const first = from.queries.ids.flatMap((_, q) =>
        bruteForceRanking({ ...input, qrels }, q, from, input.languages).slice(0, 10),
      );
      const share = (language: string) => first.filter(({ id }) => id.startsWith(language)).length / 120;
      assert.deepEqual(row.languageShares, Object.fromEntries(languages.map((each) => [each, share(each)])));
    }
  }
});

test('a cell equals the same scores judged as a run', async () => {
  const input = problem(5);
  const { grid } = await evaluateGrid(input, { createIndex, similarity: 'dot' });
  const [de, en] = input.languages as [GridLanguage, GridLanguage];
  const run = new Map(
    de.queries.ids.map((id, q) => [
      id,
      new Map(bruteForceRanking(input, q, de, [en]).map((item) => [item.id, item.score])),
    ]),
  );
  const inEnglish = new Map(
    [...input.qrels].map(([id, grades]) => [
      id,
      new Map([...grades].filter(([doc]) => doc.startsWith('en-'))),
    ]),
  );
  const { rankings } = judgeRun(run, inEnglish);
  const cell = grid.find((c) => c.queryLanguage === 'de' && c.passageLanguage === 'en')!;
  const ap = parseMeasure('AP');
  const expected = average([...rankings.values()].map((ranking) => ap.score(ranking)));
  assert.ok(Math.abs(cell.measures.AP! - expected) < 1e-12);
});

test('cells come in the order of the languages and count their judged queries', async () => {
  const { grid, pool, counts } = await evaluateGrid(problem(1), { createIndex });
  assert.deepEqual(
    grid.map((cell) => [cell.queryLanguage, cell.passageLanguage, cell.queries]),
    languages.flatMap((x) => languages.map((y) => [x, y, y === 'th' ? 8 : 12])),
  );
  assert.deepEqual(
    pool.map((row) => [row.queryLanguage, row.queries]),
    languages.map((x) => [x, 12]),
  );
  assert.deepEqual(counts, {
    queries: { de: 12, en: 12, th: 12 },
    candidates: { de: 30, en: 37, th: 44 },
  });
});

test('the cosine is the default: the length of an embedding does not matter', async () => {
  const input = problem(1);
  const scaled: GridInput = {
    ...input,
    languages: input.languages.map((part) => ({
      ...part,
      candidates: {
        ids: part.candidates.ids,
        // Powers of two scale without rounding.
        embeddings: part.candidates.embeddings.map(
          (value, i) => value * 2 ** (Math.floor(i / dimensions) % 5),
        ),
      },
    })),
  };
  const before = structuredClone(scaled.languages);
  const cosine = await evaluateGrid(input, { createIndex });
  assert.deepEqual((await evaluateGrid(scaled, { createIndex })).measures, cosine.measures);
  assert.deepEqual(scaled.languages, before, 'the embeddings given are left as they are');
  const dot = await evaluateGrid(scaled, { createIndex, similarity: 'dot' });
  assert.notDeepEqual(dot.measures, cosine.measures);
});

test('groups average the cells that belong to them', async () => {
  const groups = { trained: ['en', 'de', 'ja'], zero_shot: ['th'] };
  const { grid, pool, groups: found } = await evaluateGrid(problem(2), { createIndex, groups });
  const ap = (x: string, y: string) =>
    grid.find((cell) => cell.queryLanguage === x && cell.passageLanguage === y)!.measures.AP!;
  const near = (actual: number | undefined, expected: number) =>
    assert.ok(Math.abs(actual! - expected) < 1e-12);
  const { trained, zero_shot: zeroShot } = found;
  assert.deepEqual(trained!.languages, ['de', 'en']);
  assert.deepEqual(trained!.absent, ['ja']);
  near(trained!.measures.monolingual_map, average([ap('de', 'de'), ap('en', 'en')]));
  near(trained!.measures.cross_lingual_map, average([ap('de', 'en'), ap('en', 'de')]));
  near(zeroShot!.measures.monolingual_map, ap('th', 'th'));
  near(
    zeroShot!.measures.cross_lingual_touching_map,
    average([ap('th', 'de'), ap('th', 'en'), ap('de', 'th'), ap('en', 'th')]),
  );
  assert.equal('cross_lingual_map' in zeroShot!.measures, false);
  near(zeroShot!.measures.language_bias, pool[2]!.languageBias!);
  near(trained!.measures.language_bias, average([pool[0]!.languageBias!, pool[1]!.languageBias!]));
});

test('query scores are kept on demand and average to the cell', async () => {
  const { grid, pool } = await evaluateGrid(problem(4), {
    createIndex,
    measures: [parseMeasure('AP'), parseMeasure('P@5')],
    keepQueryScores: true,
  });
  for (const setting of [...grid, ...pool]) {
    const { ids, scores } = setting.queryScores!;
    assert.equal(ids.length, setting.queries);
    assert.deepEqual(Object.keys(scores), ['AP', 'P@5']);
    assert.ok(Math.abs(average(scores['P@5']!) - setting.measures['P@5']!) < 1e-12);
  }
});

test('one language alone has a monolingual setting and no cross-lingual one', async () => {
  const input = problem(1);
  const { measures } = await evaluateGrid({ ...input, languages: [input.languages[0]!] }, { createIndex });
  assert.ok(
    Object.keys(measures).every((name) => !name.startsWith('cross_lingual') && name !== 'language_bias'),
  );
  assert.equal(measures.monolingual_map, measures.multilingual_map);
});

test('more candidates than go to the index at once keep their order', async () => {
  const count = 9000;
  const candidates = {
    ids: Array.from({ length: count }, (_, i) => `c${i}`),
    embeddings: new Float32Array(count).fill(1),
  };
  const queries = { ids: ['q'], embeddings: Float32Array.of(1) };
  const input = { task: 't', dimensions: 1, languages: [{ language: 'en', queries, candidates }] };
  const sorted = [...candidates.ids].sort().reverse();
  for (const id of ['c0', 'c4321', 'c999']) {
    const qrels = new Map([['q', new Map([[id, 1]])]]);
    const { measures } = await evaluateGrid({ ...input, qrels }, { createIndex });
    assert.equal(measures.monolingual_mrr, 1 / (sorted.indexOf(id) + 1));
  }
});

test('progress counts every setting, and every index is disposed of', async () => {
  const made: BruteForceIndex[] = [];
  const seen: string[] = [];
  await evaluateGrid(problem(1), {
    createIndex: (size) => made[made.push(new BruteForceIndex(size)) - 1]!,
    onSetting: (done, total) => seen.push(`${done}/${total}`),
  });
  assert.deepEqual(
    seen,
    Array.from({ length: 12 }, (_, i) => `${i + 1}/12`),
  );
  assert.equal(made.length, 4);
  assert.ok(made.every(({ disposed }) => disposed));
});

test('embeddings that do not fit are refused by name', async () => {
  const refused = async (change: (language: GridLanguage) => GridLanguage, code: string, mention: string) => {
    const input = problem(1);
    const [first, ...rest] = input.languages;
    await assert.rejects(
      evaluateGrid({ ...input, languages: [change(first!), ...rest] }, { createIndex }),
      (error) => {
        assert.ok(error instanceof XlembedError);
        assert.equal(error.code, code);
        assert.ok(error.message.includes(mention), error.message);
        return true;
      },
    );
  };
  const short = (part: GridLanguage) => ({
    ...part,
    queries: { ...part.queries, embeddings: part.queries.embeddings.slice(1) },
  });
  const broken = (part: GridLanguage) => {
    part.candidates.embeddings[dimensions * 2 + 1] = Number.NaN;
    return part;
  };
  const repeated = (part: GridLanguage) => ({
    ...part,
    candidates: { ...part.candidates, ids: part.candidates.ids.map((id) => (id === 'de-3' ? 'en-3' : id)) },
  });
  const asked = (part: GridLanguage) => ({
    ...part,
    queries: { ...part.queries, ids: part.queries.ids.map((id) => (id === 'q3' ? 'q2' : id)) },
  });
  await refused(short, 'DIMENSION_MISMATCH', 'queries of de');
  await refused(broken, 'INVALID_ARGUMENT', 'de-2');
  await refused(repeated, 'INVALID_ARGUMENT', 'en-3');
  await refused(asked, 'INVALID_ARGUMENT', 'query ids of de');
});
