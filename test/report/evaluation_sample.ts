import { comparisonRows } from '#xlembed/evaluation/comparison_table.js';
import { evaluateRetrieval } from '#xlembed/evaluation/evaluate.js';
import { recordsTask } from '#xlembed/evaluation/tasks/records_task.js';
import type { EvaluatedModel, EvaluationComparison } from '#xlembed/report/evaluation_results.js';
import { BruteForceIndex } from '../evaluation/brute_force_index.js';

const languages = ['de', 'el', 'en', 'zh'];
const records = Array.from({ length: 30 }, (_, i) => ({
  id: `r${i}`,
  query: Object.fromEntries(languages.map((language) => [language, `${language} ${i}`])),
  positive: Object.fromEntries(languages.map((language) => [language, `${language} ${i}`])),
}));
const task = recordsTask('sample', records, languages);

/** A text is a place on a circle, pushed towards its language's corner as far as `bias` says. */
async function model(name: string, bias: number): Promise<EvaluatedModel> {
  const dimensions = 2 + languages.length;
  const result = await evaluateRetrieval(
    task,
    async (texts, role) => ({
      data: Float32Array.from(
        texts.flatMap((text) => {
          const [language, number] = text.split(' ');
          const angle = Number(number) * 0.21 + (role === 'query' ? bias * 0.2 : 0);
          const corner = languages.map((one) => (one === language ? bias : 0));
          return [Math.cos(angle), Math.sin(angle), ...corner];
        }),
      ),
      rows: texts.length,
      dimensions,
    }),
    { createIndex: (D) => new BruteForceIndex(D), keepQueryScores: true },
  );
  const settings = { model: name, revision: 'abc', prompts: { query: '<b>', passage: '' }, dtype: 'float32' };
  return { name, result, settings, versions: { xlembed: '0.1.0' }, seconds: 12.3 };
}

export async function sampleComparison(): Promise<EvaluationComparison> {
  const models = [await model('base', 0.9), await model('tuned <i>', 0.2)];
  return {
    title: '2 models on sample',
    createdAt: '2026-01-31T12:34:56.000Z',
    command: 'xlembed compare base.json tuned.json',
    models,
    rows: comparisonRows(
      models.map(({ result }) => result),
      { resamples: 300, permutations: 300 },
    ),
  };
}
