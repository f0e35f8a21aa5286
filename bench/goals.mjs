#!/usr/bin/env node
// What the results in a folder say about the goals that speed is held against: one Markdown table, written between
// the `generated` marks of a page, or to the screen.
//
//   node bench/goals.mjs [folder of results] [--write bench/README.md]
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({ allowPositionals: true, options: { write: { type: 'string' } } });
const folder = positionals[0] ?? fileURLToPath(new URL('results', import.meta.url));
const files = readdirSync(folder)
  .filter((name) => name.endsWith('.json'))
  .sort();

// ---- What a case says ----

const own = (name) => (one) => one.implementations.find((implementation) => implementation.name === name);
const timesFaster = (implementation, peers) => {
  const ratios = implementation.ratios.filter(({ peer }) => peers.test(peer)).map(({ ratio }) => ratio);
  return ratios.length === 0 ? undefined : Math.min(...ratios);
};
const faster = (name, peers) => (one) => own(name)(one) && timesFaster(own(name)(one), peers);
const shareOfBound = (name) => (one) =>
  own(name)(one) && own(name)(one).boundSeconds / own(name)(one).seconds;
/** Time over that of four such products alone, of the same rounds. */
const overFourProducts = (name) => (one) => 3 / 4 / timesFaster(own(name)(one), /^3 products alone$/);

const times = (value) => `${value.toFixed(2)} x`;
const percent = (value) => `${(100 * value).toFixed(1)} %`;
const megabytes = (value) => `${(value / 2 ** 20).toFixed(0)} MB`;
const gigabytes = (value) => `${(value / 2 ** 30).toFixed(2)} GiB`;

const atLeast = (limit) => ({ limit, isMet: (value) => value >= limit, sign: '≥' });
const atMost = (limit) => ({ limit, isMet: (value) => value <= limit, sign: '≤' });

const isOp =
  (op, dtype, sizes = {}) =>
  (one) =>
    (op instanceof RegExp ? op.test(one.op) : one.op === op) &&
    one.dtype === dtype &&
    Object.entries(sizes).every(([name, wanted]) => [wanted].flat().includes(one.shape[name]));
const million = { rows: 1_000_000 };
const onCpu = (isMeant) => (one) => one.device !== 'cuda' && isMeant(one);
const upTo16k = { pairs: [1024, 2048, 4096, 8192, 16_384] };

/** Of which cases, what they are asked, what is wanted, how it is written. */
const goals = [
  [
    'contrastive loss, N 1,024 to 16,384: time over four products, the usual number (it takes three)',
    isOp('info_nce', 'float32', upTo16k),
    overFourProducts('xlembed'),
    atMost(1.1),
    times,
  ],
  [
    'the same, N from 2,048: faster than libtorch',
    isOp('info_nce', 'float32', { pairs: upTo16k.pairs.slice(1) }),
    faster('xlembed', /^libtorch/),
    atLeast(1),
    times,
  ],
  [
    'the same, D = 384',
    isOp('info_nce', 'float32', { ...upTo16k, dimensions: 384 }),
    faster('xlembed', /^libtorch/),
    atLeast(1.5),
    times,
  ],
  [
    'the same, products in bfloat16',
    isOp('info_nce', 'float32', upTo16k),
    faster('xlembed, bfloat16 products', /^libtorch/),
    atLeast(2),
    times,
  ],
  [
    'memory beside it, N = 16,384',
    onCpu(isOp('info_nce', 'float32', { pairs: 16_384 })),
    (one) => own('xlembed')(one).extraBytes,
    atMost(64 * 2 ** 20),
    megabytes,
  ],
  [
    'exact search of a million rows, 1 query: faster than faiss',
    isOp('top_k', 'float32', { ...million, queries: 1 }),
    faster('xlembed', /^faiss/),
    atLeast(1.1),
    times,
  ],
  [
    '32 queries',
    isOp('top_k', 'float32', { ...million, queries: 32 }),
    faster('xlembed', /^faiss/),
    atLeast(2),
    times,
  ],
  [
    '1,024 queries',
    isOp('top_k', 'float32', { ...million, queries: 1024 }),
    faster('xlembed', /^faiss/),
    atLeast(1.1),
    times,
  ],
  [
    'the same rows by a first pass over bfloat16',
    isOp('top_k', 'float32', million),
    faster('xlembed, bfloat16 first', /^faiss/),
    atLeast(2),
    times,
  ],
  [
    'the same rows by a first pass over int8',
    isOp('top_k', 'float32', million),
    faster('xlembed, int8 first', /^faiss/),
    atLeast(2),
    times,
  ],
  [
    '1 query: share of the read bandwidth',
    onCpu(isOp('top_k', 'float32', { ...million, queries: 1 })),
    shareOfBound('xlembed'),
    atLeast(0.85),
    percent,
  ],
  [
    'pooling: share of the read bandwidth',
    isOp(/^pool_(mean|max)$/, 'float32'),
    shareOfBound('xlembed'),
    atLeast(0.8),
    percent,
  ],
  [
    'its gradient, into memory at hand: share of the copy bandwidth',
    isOp(/^pool.*backward$/, 'float32'),
    shareOfBound('xlembed, into memory at hand'),
    atLeast(0.8),
    percent,
  ],
  [
    'normalising and its gradient, into memory at hand: share of the copy bandwidth',
    isOp(/^normalize/, 'float32'),
    shareOfBound('xlembed, into memory at hand'),
    atLeast(0.8),
    percent,
  ],
  [
    'contrastive loss, N = 65,536, D = 1,024, bfloat16: time over its three products alone',
    isOp('info_nce', 'bfloat16', { pairs: 65_536, dimensions: 1024 }),
    (one) => 1 / timesFaster(own('xlembed')(one), /^3 products alone$/),
    atMost(1.5),
    times,
  ],
  [
    '10 million rows of 1,024 in bfloat16, 1 query: share of the read bandwidth',
    isOp('top_k', 'bfloat16', { rows: 10_000_000, queries: 1 }),
    shareOfBound('xlembed'),
    atLeast(0.8),
    percent,
  ],
  [
    'the same, 1,024 queries: share of the rate of matrix products',
    isOp('top_k', 'bfloat16', { rows: 10_000_000, queries: 1024 }),
    shareOfBound('xlembed'),
    atLeast(0.6),
    percent,
  ],
  [
    'encoding, float32: share of the rate of square products',
    isOp(/^encode .*(questions|passages|mix)$/, 'float32'),
    faster('xlembed', /^square products$/),
    atLeast(0.9),
    percent,
  ],
  [
    'the same: share of the rate of its own products alone',
    isOp(/^encode .*(questions|passages|mix)$/, 'float32'),
    shareOfBound('xlembed'),
    atLeast(0.9),
    percent,
  ],
  [
    'encoding texts of 128 tokens in bfloat16: share of the rate of square products',
    (one) =>
      one.device === 'cuda' && isOp(/^encode xlm-r-base, one length$/, 'bfloat16', { length: 128 })(one),
    faster('xlembed', /^square products$/),
    atLeast(0.45),
    percent,
  ],
  [
    'mix, float32: faster than sentence-transformers',
    isOp(/^encode .*mix$/, 'float32'),
    faster('xlembed', /^sentence/),
    atLeast(2.1),
    times,
  ],
  [
    'questions, float32: faster than sentence-transformers',
    isOp(/^encode .*questions$/, 'float32'),
    faster('xlembed', /^sentence/),
    atLeast(1.7),
    times,
  ],
  [
    'bfloat16: faster than sentence-transformers in bfloat16',
    isOp(/^encode .*(questions|passages|mix)$/, 'bfloat16'),
    faster('xlembed', /^sentence/),
    atLeast(1.9),
    times,
  ],
  [
    'mix, int8: faster than ONNX Runtime in int8',
    isOp(/^encode .*mix$/, 'int8'),
    faster('xlembed', /^onnx/),
    atLeast(2.2),
    times,
  ],
  [
    'questions, int8: faster than ONNX Runtime in int8',
    isOp(/^encode .*questions$/, 'int8'),
    faster('xlembed', /^onnx/),
    atLeast(1.4),
    times,
  ],
  [
    'tokenizer alone: share of the time, float32',
    isOp(/^encode .*(questions|passages|mix)$/, 'float32'),
    (one) => one.work.tokenizerShare,
    atMost(0.05),
    percent,
  ],
  [
    'training, batch 64: faster than sentence-transformers',
    (one) => one.batchSize === 64,
    (one) => one.peer?.ratio,
    atLeast(2.2),
    times,
  ],
  ['training, batch 256', (one) => one.batchSize === 256, (one) => one.peer?.ratio, atLeast(2.8), times],
  [
    'training, batch 1,024 with a gradient cache',
    (one) => one.batchSize === 1024,
    (one) => one.peer?.ratio,
    atLeast(2.5),
    times,
  ],
  [
    'training: time outside model, loss and optimizer',
    (one) => one.batchSize !== undefined && !one.memory,
    (one) => one.outsideShare,
    atMost(0.03),
    percent,
  ],
  [
    'training, batch 16,384: memory of the whole process',
    (one) => one.memory,
    (one) => one.peakBytes,
    atMost(4 * 2 ** 30),
    gigabytes,
  ],
];

// ---- The table ----

/** Of one benchmark, or those of scripts/gpu-check. */
function runsIn(file) {
  const read = JSON.parse(readFileSync(join(folder, file), 'utf8'));
  return read.stages ? [read.benchmarks, read.encoding, read.training].filter(Boolean) : [read];
}

/** Cases by machine, less those of fewer threads than it has; `bench train` calls them results. */
const machines = new Map();
for (const run of files.flatMap(runsIn)) {
  const isGpu = run.device?.startsWith('cuda');
  const name = isGpu ? run.machine : `${run.machine.trim()}, ${run.threads} threads`;
  const cases = (run.cases ?? run.results)
    .filter(({ shape }) => (shape?.threads ?? run.threads) === run.threads)
    .map((one) => ({ ...one, device: isGpu ? 'cuda' : 'cpu' }));
  machines.set(name, [...(machines.get(name) ?? []), ...cases]);
}

function rows() {
  const all = [];
  for (const [what, isMeant, ask, wanted, write] of goals) {
    for (const [machine, cases] of machines) {
      const found = cases
        .filter(isMeant)
        .map(ask)
        .filter((value) => Number.isFinite(value));
      if (found.length === 0) continue;
      const [low, high] = [Math.min(...found), Math.max(...found)].map(write);
      const met = found.filter(wanted.isMet).length;
      const verdict = met === found.length ? 'yes' : `${met} of ${found.length}`;
      const limit = `${wanted.sign} ${write(wanted.limit)}`;
      all.push([what, limit, low === high ? low : `${low} to ${high}`, verdict, machine]);
    }
  }
  return all;
}

/** Aligned, as the formatter of the pages wants it. */
function draw(cells) {
  const widths = cells[0].map((_, c) => Math.max(3, ...cells.map((row) => row[c].length)));
  const line = (row) => `| ${row.map((cell, c) => cell.padEnd(widths[c])).join(' | ')} |`;
  return [line(cells[0]), line(widths.map((width) => '-'.repeat(width))), ...cells.slice(1).map(line)].join(
    '\n',
  );
}

const table = draw([['goal', 'wanted', 'measured', 'met', 'machine'], ...rows()]);
if (values.write) {
  const page = readFileSync(values.write, 'utf8');
  const marks = /<!-- generated: goals -->[\s\S]*?<!-- end -->/;
  if (!marks.test(page)) throw new Error(`${values.write} has no <!-- generated: goals -->`);
  writeFileSync(values.write, page.replace(marks, `<!-- generated: goals -->\n${table}\n<!-- end -->`));
} else {
  console.log(table);
}
