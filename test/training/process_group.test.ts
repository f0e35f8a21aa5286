import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ProcessGroup } from '#xlembed/processes/process_group.js';
import { Share, shareOf } from '#xlembed/training/share.js';
import { freePort } from '../encoding/corpus/processes.js';
import { type Job, type Result, takeAll } from './group_process.js';

const program = fileURLToPath(new URL('./group_process.js', import.meta.url));

/** Ends with what each process printed, by rank. */
async function inProcesses(size: number, jobs: readonly Job[]): Promise<Result[][]> {
  const port = await freePort();
  const ranks = Array.from({ length: size }, (_, rank) => rank);
  return Promise.all(
    ranks.map(async (rank) => {
      const launch = {
        WORLD_SIZE: size,
        RANK: rank,
        LOCAL_RANK: rank,
        MASTER_ADDR: '127.0.0.1',
        MASTER_PORT: port,
      };
      const environment = Object.fromEntries(
        Object.entries(launch).map(([name, value]) => [name, String(value)]),
      );
      const child = spawn(process.execPath, [program, JSON.stringify(jobs)], {
        env: { ...process.env, ...environment, OMP_NUM_THREADS: '1' },
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let text = '';
      child.stdout.on('data', (chunk) => {
        text += chunk;
      });
      const [status] = await once(child, 'close');
      assert.equal(status, 0);
      return JSON.parse(text) as Result[];
    }),
  );
}

const lora = { rank: 4, alpha: 8, dropout: 0.1, targets: ['query', 'value'], layers: [] };
const JOBS: Job[] = [
  { name: 'hybrid batches, dropout, hard negatives', options: { negatives: 2 } },
  { name: 'gradient cache', options: { chunkTokens: 24, negatives: 1, negativeLanguage: 'any' } },
  { name: 'symmetric, learnt temperature', options: { symmetric: true, temperatureRate: 100, negatives: 0 } },
  { name: 'adapters', options: { lora, learningRate: 1e-2 } },
  { name: 'frozen embeddings, an early layer', options: { freezeEmbeddings: true, embeddingLayer: 1 } },
  { name: 'triplet, recomputed activations', options: { loss: 'triplet', recomputeActivations: true } },
  { name: 'Matryoshka, batches that do not divide', options: { matryoshkaSizes: [24, 8], batchSize: 7 } },
  { name: 'fewer pairs than four processes', options: { batchSize: 3, negatives: 0, chunkTokens: 8 } },
  { name: 'masked duplicates', native: {}, labels: ['passageGroups', 'rowWeights'] },
  {
    name: 'masked duplicates in both directions, by language',
    native: { symmetric: true, negativeLanguages: 'same' },
    labels: ['passageGroups', 'languages'],
  },
  { name: 'distillation', native: { loss: 'kl_distillation' }, labels: ['teacherScores'] },
  { name: 'margins of a teacher', native: { loss: 'margin_mse' }, labels: ['teacherScores', 'rowWeights'] },
  { name: 'gradients added up over batches', native: { chunkTokens: 12 }, batches: 2 },
];
const alone = await takeAll(JOBS);

for (const size of [2, 4]) {
  const together = await inProcesses(size, JOBS);
  JOBS.forEach((job, k) => {
    test(`${size} processes train as one does: ${job.name}`, () => {
      const expected = alone[k]!;
      assert.equal(expected.code, undefined);
      assert.ok(expected.losses.length > 0);
      for (const ranks of together) {
        const actual = ranks[k]!;
        assert.equal(actual.code, undefined);
        actual.losses.forEach((loss, n) => {
          const allowed = 1e-5 * Math.max(1e-2, Math.abs(expected.losses[n]!));
          assert.ok(
            Math.abs(loss - expected.losses[n]!) <= allowed,
            `${actual.losses} for ${expected.losses}`,
          );
        });
        assert.deepEqual(actual.tokens, expected.tokens);
        // Every process ends with the same bits, and these are the weights of one process to rounding.
        assert.equal(actual.hash, together[0]![k]!.hash);
        assert.deepEqual(actual.losses, together[0]![k]!.losses);
        assert.ok(Math.abs(actual.magnitude / expected.magnitude - 1) < 1e-4);
      }
    });
  });
}

test('float16 scales and skips alike in all processes', async () => {
  const job: Job = { name: 'float16', options: { precision: 'float16', dropout: false, negatives: 0 } };
  const [[single], ...[together]] = [await takeAll([job]), await inProcesses(2, [job])];
  for (const [actual] of together!) {
    assert.equal(actual!.hash, together![0]![0]!.hash);
    actual!.losses.forEach((loss, n) => {
      assert.ok(Math.abs(loss - single!.losses[n]!) < 0.02 * single!.losses[n]!);
    });
  }
});

test('a loss that is not finite in one process is skipped by all', async () => {
  const job: Job = { name: 'huge score', native: { loss: 'margin_mse' }, labels: ['hugeScore'] };
  const [[single], together] = [await takeAll([job]), await inProcesses(2, [job])];
  for (const [actual] of together) {
    assert.equal(actual!.code, undefined);
    assert.deepEqual(actual!.skipped, [true, true, true]);
    // The weights have stayed as they were: one process's too.
    assert.equal(actual!.hash, single!.hash);
  }
});

test('processes that differ are told so, all of them', async () => {
  const other = await inProcesses(2, [{ name: 'other weights', options: { seed: 1 }, seedOfRank: 1 }]);
  assert.deepEqual(
    other.map(([result]) => result!.code),
    ['PROCESSES_DIFFER', 'PROCESSES_DIFFER'],
  );
});

test('without rank 0, or another rank, the wait has an end', async () => {
  const launch = { size: 2, localRank: 0, host: '127.0.0.1', launcherServes: false, attempt: 0 };
  const expected = { code: 'PROCESS_LOST', message: /rank [01]/ };
  for (const rank of [1, 0]) {
    const port = await freePort();
    const joining = ProcessGroup.join({ timeout_ms: 500, launch: { ...launch, rank, port } });
    await assert.rejects(joining, expected);
  }
});

test('shares are contiguous, and leave nothing out', () => {
  for (const [n, size] of [
    [10, 4],
    [3, 4],
    [0, 2],
    [7, 7],
  ] as const) {
    const ends = Array.from({ length: size }, (_, rank) => shareOf(n, { rank, size }));
    assert.equal(ends[0]![0], 0);
    assert.equal(ends.at(-1)![1], n);
    ends.slice(1).forEach(([first], k) => {
      assert.equal(first, ends[k]![1]);
    });
  }
  const share = new Share(4, 7, { rank: 1, size: 2 });
  assert.deepEqual(share.passages([0, 1, 2, 3, 4, 5, 6]), [2, 3, 5, 6]);
  assert.deepEqual(share.labels({ passageGroups: Int32Array.from([9, 8, 7, 6, 5, 4, 3]) }), {
    passageGroups: Int32Array.from([7, 6, 4, 3]),
  });
});
