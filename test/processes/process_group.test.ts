import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { ProcessGroup } from '#xlembed/processes/process_group.js';
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
