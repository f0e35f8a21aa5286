// Peer of `xlembed bench encode`: transformers.js, on the same model and texts. --packages names a folder whose
// node_modules has it. One JSON question a line on stdin, one JSON answer a line on stdout, as in encode.py; texts are cut
// where the model's tokenizer cuts them.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const batchSize = 32;
const sampled = 32;
const { values } = parseArgs({ options: { packages: { type: 'string' }, threads: { type: 'string' } } });
// What the library prints must not stand among the answers.
console.log = console.error;

const entry = createRequire(join(values.packages, 'package.json')).resolve('@huggingface/transformers');
const { env, pipeline } = await import(pathToFileURL(entry).href);
env.allowRemoteModels = false;
const models = new Map();

async function open(folder, dtype) {
  const key = `${folder} ${dtype}`;
  if (!models.has(key)) {
    env.localModelPath = dirname(folder);
    const threads = Number(values.threads);
    const options = {
      dtype: dtype === 'int8' ? 'q8' : 'fp32',
      device: 'cpu',
      session_options: { intraOpNumThreads: threads },
    };
    models.set(key, await pipeline('feature-extraction', basename(folder), options));
  }
  return models.get(key);
}

async function run({ dtype, folder, texts }) {
  const model = await open(folder, dtype);
  const begun = performance.now();
  const rows = [];
  for (let first = 0; first < texts.length; first += batchSize) {
    const batch = texts.slice(first, first + batchSize);
    const embeddings = await model(batch, { pooling: 'mean', normalize: true });
    if (rows.length < sampled) rows.push(...embeddings.tolist());
  }
  return { seconds: (performance.now() - begun) / 1000, sample: rows.slice(0, sampled) };
}

function versions() {
  const file = join(values.packages, 'node_modules', '@huggingface', 'transformers', 'package.json');
  return { 'transformers.js': JSON.parse(readFileSync(file, 'utf8')).version };
}

for await (const line of createInterface({ input: process.stdin })) {
  const { command, ...question } = JSON.parse(line);
  let answer;
  try {
    answer = await { run, versions }[command](question);
  } catch (error) {
    answer = { error: `${error.name}: ${error.message}` };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
