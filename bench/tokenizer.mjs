#!/usr/bin/env node
// Tokenises long texts, cut to 128 tokens, and passages: on one processor, and on all. Each in a process of its own, since
// the library has its threads once for a process.
// usage: node bench/tokenizer.mjs [tokenizer.json]   prints one JSON object a line
// (UV_THREADPOOL_SIZE=1 shows what calls of the library wait for; without a tokenizer one is trained on the texts.)
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chooseTexts, longTexts, openTextSource } from '../dist/cli/bench/encode_texts.js';
import { TokenizerPool } from '../dist/tokenizers/tokenizer_pool.js';
import { trainTokenizer } from '../dist/tokenizers/train.js';

const [given, threads] = process.argv.slice(2);
const rounds = 7;
const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

if (threads) await measure(given, Number(threads));
else await measureAll(given);

async function measureAll(tokenizer) {
  const folder = mkdtempSync(join(tmpdir(), 'xlembed-bench-'));
  try {
    const path = tokenizer ?? join(folder, 'tokenizer.json');
    const source = await openTextSource(undefined);
    if (!tokenizer) await trainTokenizer([...source.questions, ...source.passages], path);
    for (const count of new Set([1, availableParallelism()])) {
      execFileSync(process.execPath, [fileURLToPath(import.meta.url), path, String(count)], {
        stdio: 'inherit',
      });
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function measure(path, count) {
  const source = await openTextSource(undefined);
  const tokenizer = await TokenizerPool.open(path, { maxTokens: 128, threads: count });
  const sets = { long: longTexts(source, 1024), passages: chooseTexts(source, 'passages', 2048) };
  for (const [name, texts] of Object.entries(sets)) {
    const rates = [];
    for (let round = -1; round < rounds; ++round) {
      const begun = performance.now();
      const { inputIds } = await tokenizer.tokenize(texts);
      if (round >= 0) rates.push((inputIds.length / (performance.now() - begun)) * 1000);
    }
    const { copies } = tokenizer;
    console.log(
      JSON.stringify({ texts: name, threads: count, copies, tokensPerSecond: Math.round(median(rates)) }),
    );
  }
  await tokenizer.close();
}
