import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ProcessGroup } from '#xlembed/processes/process_group.js';
import { openSharedStore } from '#xlembed/processes/shared_store.js';
import { freePort } from '../encoding/corpus/processes.js';

test('a first process that hangs is lost after the timeout', async () => {
  const port = await freePort();
  const [timeout_ms, launch] = [
    4000,
    { size: 2, host: '127.0.0.1', port, launcherServes: false, attempt: 0 },
  ];
  const first = spawn(
    process.execPath,
    [
      '--input-type=module',
      '--eval',
      `import { ProcessGroup } from '#xlembed/processes/process_group.js';
       await ProcessGroup.join({ launch: ${JSON.stringify({ ...launch, rank: 0, localRank: 0 })} });
       process.stdout.write('joined');
       setInterval(() => {}, 1000);`,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  try {
    const joined = once(first.stdout, 'data');
    const group = await ProcessGroup.join({ timeout_ms, launch: { ...launch, rank: 1, localRank: 1 } });
    await joined;
    first.kill('SIGSTOP');
    const begun = performance.now();
    await assert.rejects(group!.agree({ x: 1 }), { code: 'PROCESS_LOST', message: /4000 ms/ });
    const waited_ms = performance.now() - begun;
    assert.ok(waited_ms >= timeout_ms - 100 && waited_ms < 3 * timeout_ms, `${waited_ms} ms`);
    // From then on nothing waits for it.
    await assert.rejects(
      group!.fromFirst(() => 1),
      { code: 'PROCESS_LOST' },
    );
    await group!.leave();
    assert.ok(performance.now() - begun < 3 * timeout_ms);
  } finally {
    first.kill('SIGKILL');
  }
});

test('a first process that hangs in its work for all is lost after the timeout, when a launcher serves the store', async () => {
  const launch = { size: 2, host: '127.0.0.1', port: await freePort(), localRank: 0, attempt: 0 };
  const store = await openSharedStore({ ...launch, rank: 0, launcherServes: false });
  const start = (rank: number) => {
    const options = { timeout_ms: 6000, launch: { ...launch, rank, launcherServes: true } };
    const program = `
      import { ProcessGroup } from '#xlembed/processes/process_group.js';
      const group = await ProcessGroup.join(${JSON.stringify(options)});
      process.stdout.write('joined ');
      const work = () => new Promise(() => setInterval(() => {}, 1000));
      await group.fromFirst(work).catch(({ code, message }) => process.stdout.write(code + ': ' + message));`;
    return spawn(process.execPath, ['--input-type=module', '--eval', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
  };
  const [first, second] = [start(0), start(1)];
  const said = text(second.stdout);
  await once(first.stdout, 'data');
  // Long enough for signs of life, and for more than the timeout.
  await sleep(8000);
  assert.equal(second.exitCode, null);
  first.kill('SIGSTOP');
  const begun = performance.now();
  assert.equal(await said, 'joined PROCESS_LOST: rank 0 gives no sign of life');
  const waited_ms = performance.now() - begun;
  first.kill('SIGKILL');
  assert.ok(waited_ms > 4000 && waited_ms < 15_000, `${waited_ms} ms`);
  store.dispose();
});

test('processes leave a group and join the next one at once', async () => {
  const port = await freePort();
  const launch = { size: 2, host: '127.0.0.1', port, launcherServes: false, attempt: 0 };
  const program = (rank: number) => `
    import { ProcessGroup } from '#xlembed/processes/process_group.js';
    for (let n = 0; n < 8; n++) {
      const group = await ProcessGroup.join({ launch: ${JSON.stringify({ ...launch, rank, localRank: rank })} });
      await group.agree({ n });
      await group.leave();
    }`;
  const ends = [0, 1].map(async (rank) => {
    const args = ['--input-type=module', '--eval', program(rank)];
    const [code] = await once(
      spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit'] }),
      'exit',
    );
    return code;
  });
  assert.deepEqual(await Promise.all(ends), [0, 0]);
});

test('a port that another program has is named with the remedy', async () => {
  const server = createServer().listen(0);
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const launch = {
    rank: 0,
    localRank: 0,
    size: 2,
    host: '127.0.0.1',
    port,
    launcherServes: false,
    attempt: 0,
  };
  await assert.rejects(ProcessGroup.join({ launch }), {
    code: 'PROCESS_LOST',
    hint: /a MASTER_PORT of its own/,
  });
  server.close();
});
