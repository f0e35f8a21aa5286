#!/usr/bin/env node
// What Encoder.encodeCorpus promises of a large corpus, on a made one of short documents and a tiny model:
// memory that stays flat, and the same bytes however often the run is killed. Some minutes; run by hand.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  createReadStream,
  createWriteStream,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statfsSync,
} from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { root } from './setup/shared.mjs';

const usage = `usage: node scripts/check-corpus.mjs [--documents N] [--kills N] [--folder DIR]

  --documents N   in the made corpus (default 1000000)
  --kills N       of the second run, at random moments (default 10)
  --folder DIR    for the corpus and the outputs, about 500 bytes a document (default .build/check-corpus)`;

const settled = 50_000;
const model = join(root, 'test', 'reference', 'encoder', 'xlm-roberta');

/** Texts of 1 to 12 words. */
async function makeCorpus(path, documents) {
  const file = createWriteStream(path);
  for (let n = 0; n < documents; ++n) {
    const words = Array.from({ length: 1 + ((n * 7) % 12) }, (_, i) => `w${5 + ((n * 31 + i * 17) % 85)}`);
    const line = `${JSON.stringify({ id: `d${n}`, text: words.join(' ') })}\n`;
    if (!file.write(line)) await once(file, 'drain');
  }
  file.end();
  await once(file, 'finish');
}

/** A process of its own that embeds and reports its memory. */
async function embed(corpus, output) {
  const { Encoder, TextInput } = await import('../dist/index.js');
  const encoder = await Encoder.load(model);
  const largest = { begin: 0, later: 0 };
  const onProgress = ({ documents }) => {
    const part = documents <= settled ? 'begin' : 'later';
    largest[part] = Math.max(largest[part], process.memoryUsage.rss());
  };
  const input = await TextInput.open(corpus);
  const { rows, figures } = await encoder.encodeCorpus(input, output, { resume: true, onProgress });
  console.log(JSON.stringify({ rows, figures, largest }));
  process.exit();
}

function start(corpus, output) {
  const argv = [fileURLToPath(import.meta.url), '--embed', corpus, output];
  const child = spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.on('data', (chunk) => {
    text += chunk;
  });
  return { child, ended: once(child, 'close').then(([status]) => ({ status, text })) };
}

const shardsIn = (output) =>
  existsSync(output) ? readdirSync(output).filter((name) => name.startsWith('shard-')).length : 0;

/** Kills the run somewhere in its next `ahead` shards. */
async function killSoon({ child }, output, ahead) {
  const goal = shardsIn(output) + Math.floor(Math.random() * ahead);
  while (shardsIn(output) < goal && child.exitCode === null)
    await new Promise((resolve) => setTimeout(resolve, 5));
  await new Promise((resolve) => setTimeout(resolve, Math.random() * 200));
  return child.kill('SIGKILL');
}

async function digests(output) {
  const result = {};
  for (const name of readdirSync(output).sort()) {
    const path = join(output, name);
    if (name === 'manifest.json') {
      const { figures, ...rest } = JSON.parse(await readFile(path, 'utf8'));
      result[name] = JSON.stringify(rest);
      continue;
    }
    const hash = createHash('sha256');
    for await (const chunk of createReadStream(path)) hash.update(chunk);
    result[name] = hash.digest('hex');
  }
  return JSON.stringify(result);
}

async function check({ documents, kills, folder }) {
  mkdirSync(folder, { recursive: true });
  const { bavail, bsize } = statfsSync(folder);
  if (bavail * bsize < documents * 600) throw new Error(`${folder} has too little room`);
  const corpus = join(folder, 'corpus.jsonl');
  const [whole, killed] = ['whole', 'killed'].map((name) => join(folder, name));
  for (const output of [whole, killed]) rmSync(output, { recursive: true, force: true });
  console.log(`making ${documents} documents`);
  await makeCorpus(corpus, documents);

  const { status, text } = await start(corpus, whole).ended;
  if (status !== 0) throw new Error(`the run ended with ${status}`);
  const { figures, largest } = JSON.parse(text);
  const growth = largest.later / largest.begin - 1;
  console.log(
    `${figures.seconds.toFixed(0)} s, ${figures.documentsPerSecond.toFixed(0)} documents/s, ` +
      `encoder busy ${(100 * figures.encoderBusy).toFixed(0)} %, waiting for: ${figures.bottleneck}`,
  );
  console.log(
    `resident memory: at most ${(largest.begin / 2 ** 20).toFixed(0)} MiB in the first ${settled} documents, ` +
      `${(largest.later / 2 ** 20).toFixed(0)} MiB later: ${(100 * growth).toFixed(1)} % more`,
  );

  const files = shardsIn(whole);
  let done = 0;
  for (;;) {
    const run = start(corpus, killed);
    if (done < kills && (await killSoon(run, killed, (2 * files) / (kills + 1)))) done += 1;
    if ((await run.ended).status === 0) break;
  }
  const same = (await digests(whole)) === (await digests(killed));
  console.log(`killed ${done} times: ${same ? 'the same bytes' : 'OTHER BYTES'} in ${files} files`);
  process.exitCode = same && growth < 0.05 ? 0 : 1;
}

const string = { type: 'string' };
const { values, positionals } = parseArgs({
  options: {
    documents: string,
    kills: string,
    folder: string,
    embed: { type: 'boolean' },
    help: { type: 'boolean' },
  },
  allowPositionals: true,
});
if (values.help) console.log(usage);
else if (values.embed) await embed(...positionals);
else {
  await check({
    documents: Number(values.documents ?? 1_000_000),
    kills: Number(values.kills ?? 10),
    folder: values.folder ?? join(root, '.build', 'check-corpus'),
  });
}
