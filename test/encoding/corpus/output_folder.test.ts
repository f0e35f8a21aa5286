import assert from 'node:assert/strict';
import { appendFileSync } from 'node:fs';
import {
  appendFile,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { TextInput } from '#xlembed/datasets/texts.js';
import { type CorpusOptions, resolveSettings } from '#xlembed/encoding/corpus/options.js';
import { OutputFolder } from '#xlembed/encoding/corpus/output_folder.js';
import { requireSame } from '#xlembed/encoding/corpus/same_settings.js';
import { Encoder } from '#xlembed/encoding/encoder.js';
import { changedModel } from '../../models/support.js';
import { contentOf, documentOf, sharedEncoder, temporaryFolder, writeCorpus } from './corpus.js';

const folder = await temporaryFolder();
const encoder = await sharedEncoder();
const COUNT = 1000;
const corpus = join(folder, 'corpus.jsonl');
await writeCorpus(corpus, COUNT);
let outputs = 0;
const newOutput = () => join(folder, `output${++outputs}`);

async function run(output: string, options: CorpusOptions = {}, input = corpus) {
  return encoder.encodeCorpus(await TextInput.open(input), output, { rowsPerShard: 300, ...options });
}

test('a run with other settings or another input is not resumed', async () => {
  const output = newOutput();
  const input = join(folder, 'changing.jsonl');
  await writeCorpus(input, 700);
  const stop = new AbortController();
  await run(output, { signal: stop.signal, onProgress: () => stop.abort() }, input);
  await assert.rejects(run(output, { resume: true, precision: 'int8' }, input), {
    code: 'RESUME_REFUSED',
    message: /precision was "float32" and is "int8"/,
  });
  await writeCorpus(input, 701);
  await assert.rejects(run(output, { resume: true }, input), {
    code: 'RESUME_REFUSED',
    message: /inputs was/,
  });
  assert.equal((await run(output, { overwrite: true }, input)).rows, 701);
});

test('a run with another tokenizer, or another configuration of the same weights, is not resumed', async () => {
  const input = await TextInput.open(corpus);
  const model = changedModel('bert-version-6', 'tokenizer_config.json', {});
  const settings = async () => {
    const opened = await Encoder.load(model, { tokenizerThreads: 1 });
    await opened.dispose();
    return resolveSettings(opened, input, {});
  };
  const begun = await settings();
  requireSame('output', await settings(), begun);
  const refusedWith = async (file: string, content: object, message: RegExp) => {
    const path = join(model, file);
    const before = await readFile(path);
    const { atime, mtime } = await stat(path);
    await writeFile(path, JSON.stringify({ ...JSON.parse(before.toString()), ...content }));
    const changed = await settings();
    assert.throws(() => requireSame('output', changed, begun), { code: 'RESUME_REFUSED', message });
    await writeFile(path, before);
    await utimes(path, atime, mtime);
  };
  await refusedWith('tokenizer_config.json', { do_lower_case: false }, /modelFiles was/);
  await refusedWith('sentence_bert_config.json', { do_lower_case: true }, /modelConfig was/);
  await refusedWith('config.json', { layer_norm_eps: 0.1 }, /modelConfig was/);
  const { modelConfig, ...earlier } = begun;
  assert.throws(() => requireSame('output', begun, earlier as typeof begun), /modelConfig was undefined/);
});

test('a folder of other things is never overwritten', async () => {
  await assert.rejects(run(folder, { overwrite: true }), {
    code: 'FILE_EXISTS',
    message: /no file of embeddings/,
  });
  await assert.rejects(run(folder, { resume: true }), { code: 'FILE_EXISTS' });
});

test('two processes with one number may write the same shard', async () => {
  const output = new OutputFolder(newOutput(), resolveSettings(encoder, await TextInput.open(corpus), {}));
  await output.prepare({ resume: false, overwrite: false });
  const parts = [await output.begin(0), await output.begin(0)];
  for (const part of parts) await output.commit(part);
  assert.deepEqual(
    (await output.records()).map(({ shard }) => shard),
    [0],
  );
});

test('a run that reads what it would replace is refused', async () => {
  const output = newOutput();
  await run(output);
  const before = contentOf(output);
  await assert.rejects(run(output, { overwrite: true }, join(output, 'shard-00000.ids.jsonl')), {
    code: 'INVALID_ARGUMENT',
    message: /files outside of .*shard-00000/,
  });
  assert.deepEqual(contentOf(output), before);
});

test('a run that a malformed line has ended goes on without such lines, and only so', async () => {
  const input = join(folder, 'broken.jsonl');
  await writeCorpus(input, 700);
  await writeFile(input, '{"text":5}\n', { flag: 'a' });
  const output = newOutput();
  const resume = async (onMalformed: 'fail' | 'skip', options: CorpusOptions = {}) =>
    encoder.encodeCorpus(await TextInput.open(input, { onMalformed }), output, {
      ...{ rowsPerShard: 300, resume: true },
      ...options,
    });
  await assert.rejects(resume('fail'), { code: 'MALFORMED_LINE', message: /line 701/ });
  const stop = new AbortController();
  stop.abort();
  assert.equal((await resume('skip', { signal: stop.signal })).complete, false);
  await assert.rejects(resume('fail'), { code: 'RESUME_REFUSED', message: /malformed was "skip"/ });
  const { rows, skippedLines, figures } = await resume('skip');
  assert.deepEqual([rows, skippedLines, figures.documents], [700, 1, 100]);
});

test('a corpus that changes while it is read has no manifest', async () => {
  const output = newOutput();
  const growing = join(folder, 'growing.jsonl');
  await writeCorpus(growing, 90);
  let isGrown = false;
  const onProgress = () => {
    if (!isGrown) appendFileSync(growing, `${JSON.stringify(documentOf(90))}\n`);
    isGrown = true;
  };
  await assert.rejects(run(output, { onProgress }, growing), {
    code: 'FILE_READ_FAILED',
    message: /growing.*has changed/,
  });
  assert.ok(!(await readdir(output)).includes('manifest.json'));
  await assert.rejects(run(output, { resume: true }, growing), { code: 'RESUME_REFUSED' });
  assert.equal((await run(output, { overwrite: true }, growing)).rows, 91);
});

test('a complete folder that has lost files is not said to be done', async () => {
  const output = newOutput();
  await run(output);
  await rm(join(output, 'shard-00001.npy'));
  await truncate(join(output, 'shard-00002.npy'), 100);
  await assert.rejects(run(output, { resume: true }), {
    code: 'MALFORMED_FILE',
    message: /shard-00001\.npy is missing; shard-00002\.npy has 100 bytes of \d+$/,
    hint: /overwrite/,
  });
  // As a run leaves it that is killed while it writes the manifest.
  await rename(join(output, 'manifest.json'), join(output, '.manifest.json.0123456789ab.tmp'));
  assert.equal((await run(output, { overwrite: true })).rows, COUNT);
  assert.equal((await readdir(output)).filter((name) => name.endsWith('.tmp')).length, 0);
});

test('an interrupted run makes shards again whose files are lost or damaged', async () => {
  const twice = join(folder, 'twice.jsonl');
  await writeCorpus(twice, COUNT);
  await appendFile(twice, '{"id":"d0","text":"w9"}\n');
  const [whole, output] = [newOutput(), newOutput()];
  await run(whole, { duplicates: 'count' }, twice);
  const progress = (name: string) => join(output, '.progress', name);
  const damages = [
    () => rm(join(output, 'shard-00001.npy')),
    () => truncate(join(output, 'shard-00002.ids.jsonl'), 100),
    () => truncate(progress('shard-00001.json'), 50),
    () => rm(progress('shard-00000.hashes')),
    () => truncate(progress('shard-00003.hashes'), 12),
  ];
  for (const damage of [async () => {}, ...damages]) {
    await assert.rejects(run(output, { resume: true }, twice), { code: 'DUPLICATE_ID' });
    await damage();
  }
  await run(output, { resume: true, duplicates: 'count' }, twice);
  assert.deepEqual(contentOf(output), contentOf(whole));
});

test('settings of a run that are damaged are refused', async () => {
  const output = newOutput();
  await mkdir(join(output, '.progress'), { recursive: true });
  for (const text of ['{}', '{"device":']) {
    await writeFile(join(output, '.progress/job.json'), text);
    await assert.rejects(run(output, { resume: true }), { code: 'MALFORMED_FILE', hint: /overwrite/ }, text);
  }
});

test('a second run in one folder is refused while the first works, and not for a process that is gone', async () => {
  const output = newOutput();
  let second: Promise<unknown> | undefined;
  await run(output, {
    onProgress: () => {
      second ??= Promise.allSettled([run(output, { resume: true }), run(output, { overwrite: true })]);
    },
  });
  for (const { reason } of (await second) as PromiseRejectedResult[]) {
    assert.equal(reason.code, 'FILE_EXISTS');
    assert.match(reason.message, new RegExp(`at work .*process ${process.pid}$`));
  }
  const left = newOutput();
  await mkdir(join(left, '.progress', 'lock'), { recursive: true });
  await writeFile(join(left, '.progress', 'lock', 'owner'), `${process.pid} 1`);
  assert.equal((await run(left, { resume: true })).rows, COUNT);
});

test('the number of a device may change between two runs, its kind may not', async () => {
  const settings = resolveSettings(encoder, await TextInput.open(corpus), {});
  requireSame('output', { ...settings, device: 'cuda:1' }, { ...settings, device: 'cuda' });
  assert.throws(
    () => requireSame('output', { ...settings, device: 'cuda' }, { ...settings, device: 'cpu' }),
    {
      code: 'RESUME_REFUSED',
      message: /device was "cpu" and is "cuda"/,
    },
  );
});
