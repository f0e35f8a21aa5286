#!/usr/bin/env node
// Searches one corpus in memory and left in its file, in turn: what memory mapping costs once the file is cached.
// usage: node bench/mapped_index.mjs [rows] [dimensions]   prints one JSON object
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { FlatIndex } from '../dist/search/flat_index.js';

const [rows = 200_000, dimensions = 384] = process.argv.slice(2).map(Number);
const rounds = 9;
const piece = 10_000;

let state = 1;
function uniform() {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 31 - 1;
}
const vectors = (count) => Float32Array.from({ length: count * dimensions }, uniform);
const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

const folder = join(mkdtempSync(join(tmpdir(), 'xlembed-bench-')), 'index');
try {
  const memory = FlatIndex.create({ dimensions });
  for (let first = 0; first < rows; first += piece) await memory.add(vectors(Math.min(piece, rows - first)));
  await memory.save(folder);
  const mapped = await FlatIndex.load(folder, { memoryMap: true });
  const searches = [];
  for (const count of [1, 8, 32, 256]) {
    const queries = vectors(count);
    const seconds = { memory: [], mapped: [] };
    for (let round = -2; round < rounds; ++round) {
      for (const [name, index] of Object.entries({ memory, mapped })) {
        const begun = performance.now();
        await index.search(queries, 10);
        if (round >= 0) seconds[name].push((performance.now() - begun) / 1000);
      }
    }
    searches.push({
      queries: count,
      memorySeconds: median(seconds.memory),
      mappedSeconds: median(seconds.mapped),
      ratio: median(seconds.mapped.map((time, round) => time / seconds.memory[round])),
    });
  }
  const processor = `${cpus()[0]?.model.trim()}, ${availableParallelism()} threads`;
  console.log(JSON.stringify({ rows, dimensions, searches, processor }));
} finally {
  rmSync(join(folder, '..'), { recursive: true });
}
