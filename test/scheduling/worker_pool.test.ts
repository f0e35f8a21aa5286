import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, test } from 'node:test';
import { WorkerPool } from '#xlembed/scheduling/worker_pool.js';
import type { Task } from './fixtures/worker.js';

const file = new URL('./fixtures/worker.js', import.meta.url);
const pool = new WorkerPool<Task, unknown>({ file, workerData: { greeting: 'hello' }, threads: 2 });
after(() => pool.close());

test('a buffer moves to the thread and its result moves back', async () => {
  const values = new Float64Array([1, 2, 3]);
  const doubled = await pool.run({ kind: 'double', values }, [values.buffer]);
  assert.deepEqual(doubled, new Float64Array([2, 4, 6]));
  assert.equal(values.length, 0, 'the input was transferred, not copied');
});

test('threads see workerData and are not the main thread', async () => {
  const seen = (await pool.run({ kind: 'data' })) as { workerData: unknown; threadId: number };
  assert.deepEqual((seen.workerData as { greeting: string }).greeting, 'hello');
  assert.notEqual(seen.threadId, 0);
});

test('a coded error arrives with its code and hint, a plain one as WORKER_FAILED', async () => {
  await assert.rejects(pool.run({ kind: 'refuse' }), {
    name: 'XlembedError',
    code: 'MALFORMED_LINE',
    message: 'no such line',
    hint: 'look again',
  });
  await assert.rejects(pool.run({ kind: 'throw' }), { code: 'WORKER_FAILED', message: /a plain error/ });
});

test('a thread that dies fails its own task, and the pool lives on', async () => {
  const outcomes = await Promise.allSettled([
    pool.run({ kind: 'slow', milliseconds: 100 }),
    pool.run({ kind: 'exit' }),
    ...Array.from({ length: 6 }, () => pool.run({ kind: 'data' })),
  ]);
  const failed = outcomes.filter((outcome) => outcome.status === 'rejected');
  assert.equal(failed.length, 1);
  assert.equal((failed[0]!.reason as { code: string }).code, 'WORKER_FAILED');
  for (let n = 0; n < 4; ++n) await pool.run({ kind: 'data' });
});

test('more tasks than places wait, and all are answered', async () => {
  const narrow = new WorkerPool<Task, Float64Array>({ file, threads: 1, maxPending: 2 });
  const runs = Array.from({ length: 50 }, (_, n) =>
    narrow.run({ kind: 'double', values: new Float64Array([n]) }),
  );
  const results = await Promise.all(runs);
  assert.deepEqual(
    results.map((result) => result[0]),
    Array.from({ length: 50 }, (_, n) => 2 * n),
  );
  await narrow.close();
});

test('close waits for the tasks handed in; a closed pool refuses', async () => {
  const closing = new WorkerPool<Task, unknown>({ file, threads: 1, maxPending: 1 });
  const running = [1, 2, 3].map(() => closing.run({ kind: 'slow', milliseconds: 20 }));
  const closed = closing.close();
  assert.deepEqual(await Promise.all(running), [1, 1, 1]);
  await closed;
  await assert.rejects(closing.run({ kind: 'data' }), { code: 'DISPOSED' });
});

test('a worker file that does not load is an error, not a wait for ever', async () => {
  const broken = new WorkerPool<Task, unknown>({
    file: new URL('./fixtures/broken_worker.js', import.meta.url),
    threads: 1,
    maxPending: 4,
  });
  const outcomes = await Promise.allSettled(Array.from({ length: 4 }, () => broken.run({ kind: 'data' })));
  for (const outcome of outcomes) {
    assert.equal(outcome.status, 'rejected');
    assert.equal((outcome.reason as { code: string }).code, 'WORKER_FAILED');
  }
  await broken.close();
});

test('closing a pool whose worker file does not load ends its tasks too', async () => {
  const broken = new WorkerPool<Task, unknown>({
    file: new URL('./fixtures/broken_worker.js', import.meta.url),
    threads: 2,
  });
  const tasks = Array.from({ length: 6 }, () => broken.run({ kind: 'data' }));
  const closed = broken.close();
  for (const task of tasks) await assert.rejects(task, { code: 'WORKER_FAILED' });
  await closed;
});

test('a thread count that is none is refused', () => {
  assert.throws(() => new WorkerPool({ file, threads: 0 }), {
    code: 'INVALID_ARGUMENT',
    message: 'expected an integer above 0 for threads, received 0 of type number',
  });
});

test('idle threads and closed pools do not keep the process alive', async () => {
  const program = `
    import { WorkerPool } from '#xlembed/scheduling/worker_pool.js';
    const open = () => new WorkerPool({ file: new URL(${JSON.stringify(file.href)}), threads: 2 });
    const [idle, closed] = [open(), open()];
    await Promise.all([idle.run({ kind: 'data' }), closed.run({ kind: 'data' })]);
    await closed.close();
    console.log('done');`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], { timeout: 20_000 });
  let output = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  const [code, signal] = await once(child, 'exit');
  assert.deepEqual({ code, signal, output }, { code: 0, signal: null, output: 'done\n' });
});
