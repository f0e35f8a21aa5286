// One measurement of scripts/compare-models.mjs in a process of its own, so that its memory is its own:
//     node measure.mjs TASK JSON   prints one line of JSON
import { closeSync, fstatSync, openSync, readFileSync, readSync, writeFileSync } from 'node:fs';
import { Encoder } from '../../dist/encoding/encoder.js';
import { openModel } from '../../dist/models/open_model.js';
import { loadNative } from '../../dist/native.js';
import { pack, sequenceAt } from '../../dist/tokenizers/packed.js';
import { TokenizerPool } from '../../dist/tokenizers/tokenizer_pool.js';

const bytesOf = { float32: 4, bfloat16: 2 };
const product = (shape) => shape.reduce((all, size) => all * size, 1);

/** Bytes of memory that this process has held at most. */
function peakMemory() {
  return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
}

const seconds = (since) => (performance.now() - since) / 1000;

/** Opening a model and reading its weights; no tokenizer. */
async function load({ folder, dtype }) {
  const native = loadNative();
  const before = peakMemory();
  const begun = performance.now();
  const { backbone, head, sources } = await openModel(folder);
  const encoder = await native.createEncoder({ backbone, head, weights: { sources }, device: 'cpu', dtype });
  const taken = seconds(begun);
  const weights = encoder.parameters().reduce((sum, { shape }) => sum + product(shape) * bytesOf[dtype], 0);
  return { seconds: taken, weights, before, peak: peakMemory() };
}

/** Reading a file once: into one small buffer again and again, or into memory that was never touched before. */
async function read({ path, fresh }) {
  const file = openSync(path, 'r');
  const { size } = fstatSync(file);
  const piece = 16 * 2 ** 20;
  const buffer = Buffer.allocUnsafeSlow(fresh ? size : piece);
  const begun = performance.now();
  for (let at = 0; at < size; ) {
    at += readSync(file, buffer, fresh ? at : 0, Math.min(piece, size - at), at);
  }
  const taken = seconds(begun);
  closeSync(file);
  return { seconds: taken, size };
}

/** Largest difference between any two ways of batching the same texts. */
async function worstBatchDifference(encoder, texts, together) {
  let worst = 0;
  const compare = (data, offset) => {
    for (let i = 0; i < data.length; ++i) worst = Math.max(worst, Math.abs(data[i] - together[offset + i]));
  };
  compare((await encoder.encode(texts, { tokenBudget: 200 })).data, 0);
  for (const [row, text] of texts.entries())
    compare((await encoder.encode([text])).data, row * encoder.dimensions);
  return worst;
}

async function encode({ folder, dtype, texts, output, invariance }) {
  const encoder = await Encoder.load(folder, { dtype, tokenizerThreads: 1 });
  const tokens = await encoder.tokenizer.tokenize(texts);
  const { data } = await encoder.encode(texts);
  writeFileSync(output, data);
  const ids = texts.map((_, row) => [...sequenceAt(tokens, row)]);
  const difference = invariance ? await worstBatchDifference(encoder, texts, data) : null;
  await encoder.dispose();
  return { ids, difference };
}

/** Loss and gradient norm of one step that changes nothing. */
async function step({ folder, texts, queries, temperature }) {
  const { backbone, head, sources, tokenizerPath, maxTokens } = await openModel(folder);
  const native = loadNative();
  const weights = { sources };
  const encoder = await native.createEncoder({ backbone, head, weights, device: 'cpu', dtype: 'float32' });
  const tokenizer = await TokenizerPool.open(tokenizerPath, { maxTokens, threads: 1 });
  const tokens = await tokenizer.tokenize(texts.slice(0, 2 * queries));
  await tokenizer.close();
  const trainer = await native.createTrainer(encoder, {
    ...{ temperature, symmetric: false, normalize: false, dropout: false, seed: 0 },
    ...{ weightDecay: 0, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, maxGradientNorm: 0 },
  });
  const sequences = Array.from({ length: 2 * queries }, (_, row) => sequenceAt(tokens, row));
  const result = await trainer.step({ ...pack(sequences), queries, step: 0, learningRate: 0 });
  return { loss: result.loss, gradientNorm: result.gradientNorm, peak: peakMemory() };
}

const tasks = { load, read, encode, step };
console.log(JSON.stringify(await tasks[process.argv[2]](JSON.parse(process.argv[3]))));
