// Measures made-up embeddings on a retrieval, a bitext and a similarity task, for mteb_scores_agree_in_python.py, which
// lets mteb measure the same embeddings:
//     node .build/test/interop/mteb_scores.js FOLDER
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { evaluateTask } from '#xlembed/evaluation/evaluate_task.js';
import { mtebMeasures, mtebResult } from '#xlembed/evaluation/mteb_json.js';
import { openTask } from '#xlembed/evaluation/tasks/registry.js';
import { randomVectors } from '../search/vectors.js';

const dimensions = 12;
const counts = { queries: 80, passages: 1500, pairs: 150, graded: 120 };

const [folder] = process.argv.slice(2);
if (!folder) throw new Error('usage: node .build/test/interop/mteb_scores.js FOLDER');

/** Text -> its embedding. */
const embeddings = new Map<string, Float32Array>();
const noise = randomVectors(4000, dimensions, 1);

/** A text whose embedding is another's with noise; without another, noise alone. */
function say(text: string, near?: string, distance = 1): string {
  const center = near && embeddings.get(near)!;
  const row = embeddings.size * dimensions;
  const vector = noise.slice(row, row + dimensions);
  if (center)
    center.forEach((value, d) => {
      vector[d] = value + distance * vector[d]!;
    });
  embeddings.set(text, vector);
  return text;
}

const lines = (of: readonly unknown[]) => of.map((one) => `${JSON.stringify(one)}\n`).join('');
const range = (count: number) => Array.from({ length: count }, (_, i) => i);

function writeData(folder: string): void {
  for (const name of ['beir/qrels', 'bitext', 'sts']) mkdirSync(join(folder, name), { recursive: true });
  const queries = range(counts.queries).map((i) => ({ _id: `q${i}`, text: say(`query ${i}`) }));
  const qrels = ['query-id\tcorpus-id\tscore\n'];
  const passages = range(counts.passages).map((i) => {
    const query = i % (2 * counts.queries);
    const answers = query < counts.queries && i < 600;
    if (answers) qrels.push(`q${query}\td${i}\t${1 + (i % 2)}\n`);
    const near = answers ? `query ${query}` : undefined;
    return { _id: `d${i}`, title: '', text: say(`passage ${i}`, near, 0.9) };
  });
  writeFileSync(join(folder, 'beir/queries.jsonl'), lines(queries));
  writeFileSync(join(folder, 'beir/corpus.jsonl'), lines(passages));
  writeFileSync(join(folder, 'beir/qrels/test.tsv'), qrels.join(''));
  const pairs = range(counts.pairs).map((i) => [say(`Satz ${i}`), say(`sentence ${i}`, `Satz ${i}`, 1.1)]);
  writeFileSync(join(folder, 'bitext/deu-eng.tsv'), pairs.map((pair) => `${pair.join('\t')}\n`).join(''));
  const graded = range(counts.graded).map((i) => ({
    sentence1: say(`left ${i}`),
    sentence2: say(`right ${i}`, `left ${i}`, ((i % 6) + (i % 5)) / 6),
    score: 5 - (i % 6),
  }));
  writeFileSync(join(folder, 'sts/en.jsonl'), lines(graded));
}

async function embed(texts: readonly string[]) {
  const data = new Float32Array(texts.length * dimensions);
  for (const [row, text] of texts.entries()) data.set(embeddings.get(text)!, row * dimensions);
  return { data, rows: texts.length, dimensions };
}

writeData(folder);
for (const name of ['beir', 'bitext', 'sts']) {
  const task = await openTask(name, { data: join(folder, name) });
  const result = await evaluateTask(task, embed, { measures: mtebMeasures() });
  const file = mtebResult(result, { datasetRevision: '1', mtebVersion: '2', evaluationSeconds: 0 });
  writeFileSync(join(folder, `${name}.json`), JSON.stringify(file));
}
const table = Object.fromEntries([...embeddings].map(([text, vector]) => [text, [...vector]]));
writeFileSync(join(folder, 'embeddings.json'), JSON.stringify(table));
