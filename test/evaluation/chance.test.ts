import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chanceLevels } from '#xlembed/evaluation/chance.js';
import { recordsTask } from '#xlembed/evaluation/tasks/records_task.js';

const records = ['r0', 'r1', 'r2'].map((id) => ({
  id,
  query: { a: `query ${id}`, b: `Frage ${id}` },
  positive: { a: `passage ${id}`, b: `Antwort ${id}` },
}));

test('a task from records: texts by language, relevant in every language', () => {
  const task = recordsTask(
    'demo',
    [...records, { id: 'r3', query: { a: 'x' }, positive: { b: 'y' } }],
    ['b', 'a'],
  );
  assert.deepEqual(task.languages, ['a', 'b']);
  assert.deepEqual(task.queries('b')[1], { id: 'r1', text: 'Frage r1' });
  assert.deepEqual(task.candidates('a')[2], { id: 'r2@a', text: 'passage r2' });
  assert.deepEqual(
    task.qrels.get('r0'),
    new Map([
      ['r0@a', 1],
      ['r0@b', 1],
    ]),
  );
  assert.equal(task.qrels.has('r3'), false);
});

/** Every order of n things. */
function permutations(n: number): number[][] {
  if (n === 0) return [[]];
  return permutations(n - 1).flatMap((rest) =>
    Array.from({ length: n }, (_, at) => [...rest.slice(0, at), n - 1, ...rest.slice(at)]),
  );
}

test('chance is the mean over all orders of the candidates', () => {
  const levels = chanceLevels(recordsTask('demo', records, ['a', 'b']));
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const close = (name: string, expected: number) =>
    assert.ok(Math.abs(levels[name]! - expected) < 1e-12, name);
  close('monolingual_map', mean(permutations(3).map((order) => 1 / (order.indexOf(0) + 1))));
  close('cross_lingual_recall_at_1', 1 / 3);
  // In the pool of 6, candidates 0 and 1 are relevant.
  const pooled = permutations(6).map((order) =>
    [order.indexOf(0) + 1, order.indexOf(1) + 1].sort((x, y) => x - y),
  );
  close('multilingual_map', mean(pooled.map(([first, second]) => (1 / first! + 2 / second!) / 2)));
  close('language_bias', mean(pooled.map(([first, second]) => second! - first!)));
  close('multilingual_recall_at_10', 1);
});

test('passages judged irrelevant count as none, and queries without a relevant one are left out', () => {
  const task = recordsTask('demo', records, ['a', 'b']);
  const judged = new Map([...task.qrels].map(([query, grades]) => [query, new Map(grades)]));
  judged.get('r0')!.set('r1@a', 0);
  judged.set('r2', new Map([['r0@b', 0]]));
  assert.deepEqual(chanceLevels({ ...task, qrels: judged }), chanceLevels(task));
});
