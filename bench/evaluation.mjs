#!/usr/bin/env node
// Ranks all settings of XQuAD-R and its pool over random embeddings: what an evaluation takes once texts are embedded.
// usage: node bench/evaluation.mjs [dimensions]   prints one JSON object
import { availableParallelism, cpus } from 'node:os';
import { evaluateGrid } from '../dist/evaluation/grid.js';

const sentences = { ar: 1222, de: 1276, el: 1234, en: 1180, es: 1215, hi: 1244, ru: 1219, th: 852 };
const candidates = { ...sentences, tr: 1167, vi: 1209, zh: 1196 };
const questions = 1190;
const dimensions = Number(process.argv[2] ?? 384);

let state = 1;
function uniform() {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 31 - 1;
}

const texts = (ids) => ({
  ids,
  embeddings: Float32Array.from({ length: ids.length * dimensions }, uniform),
});
const ids = (count, prefix) => Array.from({ length: count }, (_, i) => `${prefix}${i}`);
const languages = Object.entries(candidates).map(([language, count]) => ({
  language,
  queries: texts(ids(questions, 'q')),
  candidates: texts(ids(count, `${language}-`)),
}));
const qrels = new Map(
  ids(questions, 'q').map((id, q) => [
    id,
    new Map(languages.map(({ language, candidates: all }) => [`${language}-${q % all.ids.length}`, 1])),
  ]),
);

await evaluateGrid({ task: 'warm-up', dimensions, languages: languages.slice(0, 2), qrels }, {});
const begun = performance.now();
const result = await evaluateGrid({ task: 'xquad_r', dimensions, languages, qrels }, {});
const seconds = (performance.now() - begun) / 1000;
const processor = `${cpus()[0]?.model.trim()}, ${availableParallelism()} threads`;
console.log(
  JSON.stringify({ settings: result.grid.length + result.pool.length, dimensions, seconds, processor }),
);
