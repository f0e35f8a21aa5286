#!/usr/bin/env node
// Makes parallel question-passage records of LibreOffice's help: a section's heading is the query, its text the
// passage, joined over languages by page and heading id. Reads <folder>/<language>.jsonl.xz with lines
// {page, hid, heading, paras: [[id, text], ...]}.
//
//   node experiments/libreoffice-help/prepare.mjs <folder> <output.jsonl>
import { spawn } from 'node:child_process';
import { createWriteStream, mkdirSync, readdirSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { finished } from 'node:stream/promises';

const LONGEST_PASSAGE = 1000; // characters; the model cuts by tokens
const languageOf = { 'en-us': 'en', 'zh-cn': 'zh' };

const [folder, output] = process.argv.slice(2);
if (!folder || !output) {
  console.error('usage: node experiments/libreoffice-help/prepare.mjs <folder> <output.jsonl>');
  process.exit(2);
}

async function* lines(path) {
  const xz = spawn('xz', ['-dc', path], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exit = new Promise((resolve, reject) => xz.on('error', reject).on('exit', resolve));
  yield* createInterface({ input: xz.stdout, crlfDelay: Number.POSITIVE_INFINITY });
  if ((await exit) !== 0) throw new Error(`xz could not read ${path}`);
}

const records = new Map();
const counts = {};
for (const file of readdirSync(folder)
  .filter((name) => name.endsWith('.jsonl.xz'))
  .sort()) {
  const name = file.replace('.jsonl.xz', '');
  const language = languageOf[name] ?? name;
  for await (const line of lines(join(folder, file))) {
    const { page, hid, heading, paras } = JSON.parse(line);
    const query = heading.trim();
    const positive = paras
      .map(([, text]) => text.trim())
      .filter(Boolean)
      .join(' ')
      .slice(0, LONGEST_PASSAGE);
    if (!query || !positive) continue;
    const id = `${page}#${hid}`;
    const record = records.get(id) ?? { id, query: {}, positive: {} };
    record.query[language] = query;
    record.positive[language] = positive;
    records.set(id, record);
    counts[language] = (counts[language] ?? 0) + 1;
  }
}

mkdirSync(dirname(output), { recursive: true });
const stream = createWriteStream(`${output}.partial`);
for (const record of records.values()) stream.write(`${JSON.stringify(record)}\n`);
stream.end();
await finished(stream);
renameSync(`${output}.partial`, output);
console.log(`${records.size} records in ${output}; sections with text by language:`);
console.log(
  Object.entries(counts)
    .map(([language, count]) => `${language} ${count}`)
    .join(', '),
);
