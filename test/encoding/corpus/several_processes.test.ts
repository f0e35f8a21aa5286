import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { TextInput } from '#xlembed/datasets/texts.js';
import { resolveSettings } from '#xlembed/encoding/corpus/options.js';
import { requireAgreement } from '#xlembed/encoding/corpus/same_settings.js';
import { SharedCrew } from '#xlembed/encoding/corpus/shared_crew.js';
import { contentOf, sharedEncoder, temporaryFolder, writeCorpus } from './corpus.js';
import { freePort, isWriting, startEncoding, until } from './processes.js';

const folder = await temporaryFolder();
const corpus = join(folder, 'corpus.jsonl');
const whole = join(folder, 'whole');
const options = { rowsPerShard: 100, tokenBudget: 600, batch_ms: 10, lostAfter_ms: 2000, connect_ms: 60_000 };
const ROWS = 3000;

before(async () => {
  await writeCorpus(corpus, ROWS);
  assert.equal((await startEncoding(corpus, whole, options).ended).status, 0);
});

type More = Record<string, unknown>;

async function startAll(count: number, output: string, more: More | ((rank: number) => More) = {}) {
  const port = await freePort();
  return Array.from({ length: count }, (_, rank) => {
    const launch = {
      RANK: `${rank}`,
      WORLD_SIZE: `${count}`,
      MASTER_ADDR: '127.0.0.1',
      MASTER_PORT: `${port}`,
    };
    return startEncoding(
      corpus,
      output,
      { ...options, ...(typeof more === 'function' ? more(rank) : more) },
      { environment: launch },
    );
  });
}

test('two processes share the shards and give the bytes of one', async () => {
  const output = join(folder, 'two');
  const ended = await Promise.all((await startAll(2, output, { batch_ms: 40 })).map((each) => each.ended));
  for (const { status, result } of ended)
    assert.deepEqual([status, result.rows], [0, ROWS], JSON.stringify(result));
  const documents = ended.map(({ result }) => result.documents!);
  assert.equal(documents[0]! + documents[1]!, ROWS);
  assert.ok(Math.min(...documents) > 0, 'each has taken some');
  assert.deepEqual(contentOf(output), contentOf(whole));
});

test('of three processes one is killed: the others take its shards over', async () => {
  const output = join(folder, 'three');
  const all = await startAll(3, output, { batch_ms: 80 });
  // On a busy machine the last to start may find nothing left: any but the one with the counter will do.
  let lost: (typeof all)[number] | undefined;
  await until(() => {
    lost = all.slice(1).find(({ child }) => isWriting(output, child));
    return lost !== undefined;
  });
  lost!.child.kill('SIGKILL');
  const ended = await Promise.all(all.map((each) => each.ended));
  assert.deepEqual(
    ended.map(({ status }) => status),
    all.map((each) => (each === lost ? null : 0)),
  );
  assert.deepEqual(contentOf(output), contentOf(whole));
  const { shards } = JSON.parse(await readFile(join(output, 'manifest.json'), 'utf8'));
  assert.equal(shards.length, 30);
});

test('when the process with the counter is killed the others end with a code, and the job resumes', async () => {
  const output = join(folder, 'rank0');
  const all = await startAll(2, output, { batch_ms: 80 });
  await until(() => isWriting(output, all[1]!.child));
  all[0]!.child.kill('SIGKILL');
  const { status, result } = await all[1]!.ended;
  assert.deepEqual([status, result.code], [1, 'PROCESS_LOST']);
  assert.match(result.hint ?? '', /resume/);
  const again = await Promise.all((await startAll(2, output, { resume: true })).map((each) => each.ended));
  assert.deepEqual(
    again.map((each) => each.status),
    [0, 0],
  );
  assert.deepEqual(contentOf(output), contentOf(whole));
});

test('a process with other settings ends, and the embeddings are those of rank 0', async () => {
  const output = join(folder, 'mixed');
  const [first, second] = await startAll(2, output, (rank) =>
    rank === 1 ? { dimensions: 8, prompt: 'w9 ' } : {},
  );
  const { status, result } = await second!.ended;
  assert.deepEqual([status, result.code], [1, 'PROCESSES_DIFFER']);
  assert.match(
    result.message ?? '',
    /prompt is "" in the process of rank 0, here "w9 "; dimensions is 24 .*here 8/,
  );
  assert.equal((await first!.ended).status, 0);
  assert.deepEqual(contentOf(output), contentOf(whole));
});

test('copies of a file have times of their own: a process may read such a one', async () => {
  const settings = resolveSettings(await sharedEncoder(), await TextInput.open(corpus), {});
  const copied = {
    ...settings,
    modelFiles: settings.modelFiles.map((file) => `${file}1`),
    inputs: settings.inputs.map((input) => ({ ...input, modified_ms: 1 })),
  };
  requireAgreement(copied, settings);
  assert.throws(() => requireAgreement({ ...copied, modelFiles: ['model.safetensors 1 1'] }, settings), {
    code: 'PROCESSES_DIFFER',
    message: /modelFiles/,
  });
});

test('an error of rank 0 ends the others too', async () => {
  const ended = await Promise.all((await startAll(2, whole)).map((each) => each.ended));
  assert.deepEqual(
    ended.map(({ result }) => result.code),
    ['FILE_EXISTS', 'PROCESS_LOST'],
  );
});

test('without rank 0 the wait has an end', async () => {
  const launch = {
    rank: 1,
    size: 2,
    localRank: 1,
    host: '127.0.0.1',
    port: await freePort(),
    launcherServes: false,
    attempt: 0,
  };
  const begun = performance.now();
  await assert.rejects(SharedCrew.join(launch, 'job', { connect_ms: 300 }), {
    code: 'PROCESS_LOST',
    message: /rank 0/,
  });
  assert.ok(performance.now() - begun < 20_000);
});
