#!/usr/bin/env node
// Holds encoders of real sizes with random weights against sentence-transformers; the results are docs/models.md.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { readUdhr } from '../dist/datasets/udhr.js';
import { loadNative } from '../dist/native.js';
import { renderDocument } from './compare_models/document.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const parts = join(here, 'compare_models');
const usage = `usage: node scripts/compare-models.mjs [options]

  --python FILE    a Python with torch, transformers and sentence-transformers; default python3
  --tokenizers DIR default $XLEMBED_SHARED/tokenizers, else ../shared/tokenizers
  --only ID,...    these architectures alone; the document keeps the results of the others
  --out FILE       default docs/models.md; the numbers go to the same name with .json
  --render         only writes the document again from its numbers

The models are written one after another into the system's temporary folder: up to 6 GB of disk, 12 GB of memory.`;

const languages = ['en', 'de', 'es', 'tr', 'ru', 'el', 'ar', 'hi', 'th', 'zh', 'ja', 'vi'];
/** Characters of the long text: some 2,000 tokens of XLM-R. */
const longText_characters = 7_500;
/** Load times are read side by side this many times; the median counts. */
const rounds = 5;

/** The first parts of twelve articles, then their second parts, each pair in another language; then a long text. */
async function makeTexts() {
  const records = await readUdhr(languages);
  const pairs = languages.map((language, n) => ({
    query: records[n + 3].query[language],
    positive: records[n + 3].positive[language],
  }));
  const paragraphs = records.map((record, n) => {
    const language = languages[n % languages.length];
    return `${record.query[language] ?? ''} ${record.positive[language] ?? ''}`.trim();
  });
  const long = [...paragraphs].join(' ').slice(0, longText_characters).trim();
  const texts = [...pairs.map(({ query }) => query), ...pairs.map(({ positive }) => positive), long];
  return { queries: pairs.length, texts };
}

function run(command, args, what) {
  const { status, signal, stdout, stderr, error } = spawnSync(command, args, {
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  });
  if (status === 0) return stdout;
  throw new Error(`${what} failed (${error ?? signal ?? status}):\n${stderr}`);
}

const measure = (task, input) =>
  JSON.parse(
    run(process.execPath, [join(parts, 'measure.mjs'), task, JSON.stringify(input)], task)
      .trim()
      .split('\n')
      .at(-1),
  );

const readVectors = (path) => {
  const bytes = readFileSync(path);
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
};

/** Worst row by cosine and worst value by difference. */
function compareVectors(actual, expected, rows) {
  if (actual.length !== expected.length)
    throw new Error(`${actual.length} values against ${expected.length}`);
  const dimensions = actual.length / rows;
  const worst = { cosine: 1, difference: 0 };
  for (let row = 0; row < rows; ++row) {
    let [dot, a, b] = [0, 0, 0];
    for (let i = row * dimensions; i < (row + 1) * dimensions; ++i) {
      dot += actual[i] * expected[i];
      a += actual[i] ** 2;
      b += expected[i] ** 2;
      worst.difference = Math.max(worst.difference, Math.abs(actual[i] - expected[i]));
    }
    worst.cosine = Math.min(worst.cosine, dot / Math.sqrt(a * b));
  }
  return worst;
}

/** The cosine that half of all pairs of rows (of length 1) exceed: near 1 any two encoders would agree. */
function medianCosine(vectors, rows) {
  const dimensions = vectors.length / rows;
  const cosines = [];
  for (let a = 0; a < rows; ++a) {
    for (let b = 0; b < a; ++b) {
      let dot = 0;
      for (let i = 0; i < dimensions; ++i) dot += vectors[a * dimensions + i] * vectors[b * dimensions + i];
      cosines.push(dot);
    }
  }
  return median(cosines);
}

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

/** Side by side, in turns, so that whatever else the machine does meets all three. */
function measureLoading(folder) {
  const path = join(folder, 'model.safetensors');
  measure('read', { path, fresh: false });
  const taken = { load: [], reused: [], fresh: [] };
  let memory;
  for (let round = 0; round < rounds; ++round) {
    taken.reused.push(measure('read', { path, fresh: false }).seconds);
    taken.fresh.push(measure('read', { path, fresh: true }).seconds);
    memory = measure('load', { folder, dtype: 'float32' });
    taken.load.push(memory.seconds);
  }
  const [load, reused, fresh] = [median(taken.load), median(taken.reused), median(taken.fresh)];
  return { load, reused, fresh, ...memory, seconds: undefined };
}

function measureStep(folder, { queries, texts }, expected) {
  const actual = measure('step', { folder, queries, texts, temperature: expected.temperature });
  const error = (name) => Math.abs(actual[name] - expected[name]) / Math.abs(expected[name]);
  return { loss: error('loss'), gradientNorm: error('gradientNorm'), peak: actual.peak };
}

function compareArchitecture({ id, name }, given, options) {
  const folder = mkdtempSync(join(tmpdir(), 'xlembed-compare-'));
  const say = (what) => console.error(`${name}: ${what}`);
  try {
    writeFileSync(join(folder, 'texts.json'), JSON.stringify(given));
    say('weights and vectors of sentence-transformers');
    const files = {
      architectures: join(parts, 'architectures.json'),
      tokenizers: options.tokenizers,
      texts: join(folder, 'texts.json'),
      folder,
    };
    const named = Object.entries(files).flatMap(([option, value]) => [`--${option}`, value]);
    run(options.python, [join(parts, 'reference.py'), id, ...named], 'the Python half');
    const reference = JSON.parse(readFileSync(join(folder, 'reference.json'), 'utf8'));
    const model = join(folder, 'model');
    const rows = given.texts.length;
    const result = { parameters: reference.parameters, versions: reference.versions };
    const expected = readVectors(join(folder, 'float32.bin'));
    result.betweenTexts = medianCosine(expected, rows);
    for (const dtype of ['float32', 'bfloat16']) {
      say(`${dtype} here`);
      const output = join(folder, `${dtype}.here.bin`);
      const invariance = dtype === 'float32';
      const { ids, difference } = measure('encode', { folder: model, dtype, ...given, output, invariance });
      result[dtype] = compareVectors(readVectors(output), expected, rows);
      if (invariance) {
        result.batchDifference = difference;
        result.equalIds = JSON.stringify(ids) === JSON.stringify(reference.ids);
        result.longest = Math.max(...ids.map((sequence) => sequence.length));
      }
    }
    result.pythonBfloat16 = compareVectors(readVectors(join(folder, 'bfloat16.bin')), expected, rows);
    say('loading');
    result.loading = measureLoading(model);
    if (reference.step) {
      say('a contrastive step');
      result.step = measureStep(model, given, reference.step);
    }
    return result;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function readResults(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8')).architectures;
  } catch {
    return {};
  }
}

const { values } = parseArgs({
  options: {
    python: { type: 'string', default: 'python3' },
    tokenizers: { type: 'string', default: join(process.env.XLEMBED_SHARED ?? '../shared', 'tokenizers') },
    only: { type: 'string' },
    out: { type: 'string', default: 'docs/models.md' },
    render: { type: 'boolean' },
    help: { type: 'boolean' },
  },
});

async function main() {
  const architectures = JSON.parse(readFileSync(join(parts, 'architectures.json'), 'utf8'));
  const numbers = values.out.replace(/\.md$/, '.json');
  if (values.render) {
    writeFileSync(values.out, renderDocument(architectures, JSON.parse(readFileSync(numbers, 'utf8'))));
    return;
  }
  const wanted = values.only?.split(',') ?? architectures.map(({ id }) => id);
  const unknown = wanted.find((id) => !architectures.some((architecture) => architecture.id === id));
  if (unknown) throw new Error(`--only: no architecture ${unknown}`);
  const options = { python: values.python, tokenizers: resolve(values.tokenizers) };
  const results = readResults(numbers);
  const given = await makeTexts();
  const { libtorch, cpuCapability } = loadNative().info();
  const machine = { processor: cpus()[0].model, processors: cpus().length, cpuCapability };
  for (const architecture of architectures.filter(({ id }) => wanted.includes(id))) {
    results[architecture.id] = compareArchitecture(architecture, given, options);
    const common = { node: process.version, libtorch, machine, texts: given.texts.length };
    const document = { ...common, architectures: results };
    writeFileSync(numbers, `${JSON.stringify(document, null, 1)}\n`);
    writeFileSync(values.out, renderDocument(architectures, document));
  }
}

if (values.help) console.log(usage);
else await main();
