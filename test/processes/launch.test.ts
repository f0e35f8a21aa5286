import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readLaunch } from '#xlembed/processes/launch.js';

test('the launch is read from the environment, and what is missing is named', () => {
  assert.equal(readLaunch({}), undefined);
  assert.equal(readLaunch({ WORLD_SIZE: '1', RANK: '0' }), undefined);
  const environment = { WORLD_SIZE: '4', RANK: '3', MASTER_ADDR: 'node1', MASTER_PORT: '29500' };
  assert.deepEqual(readLaunch(environment), {
    ...{ rank: 3, size: 4, host: 'node1', port: 29_500 },
    ...{ localRank: 0, launcherServes: false, attempt: 0 },
  });
  const torchrun = { TORCHELASTIC_USE_AGENT_STORE: 'True', TORCHELASTIC_RESTART_COUNT: '2' };
  assert.deepEqual(readLaunch({ ...environment, ...torchrun })?.attempt, 2);
  for (const name of ['RANK', 'MASTER_ADDR', 'MASTER_PORT'] as const) {
    assert.throws(() => readLaunch({ ...environment, [name]: undefined }), {
      code: 'INVALID_ARGUMENT',
      message: new RegExp(name),
    });
  }
  assert.equal(readLaunch({ ...environment, MASTER_PORT: '65535' })?.port, 65_535);
  assert.throws(() => readLaunch({ ...environment, MASTER_PORT: '65536' }), {
    code: 'INVALID_ARGUMENT',
    message: /at most 65535 for .*MASTER_PORT, received 65536/,
  });
});

test("srun's and mpirun's names serve too", () => {
  const step = {
    ...{ SLURM_STEP_NUM_TASKS: '16', SLURM_PROCID: '9', SLURM_LOCALID: '1', SLURM_JOB_ID: '123456' },
    ...{ SLURM_STEP_NODELIST: 'gpu[007-008,011],login1', SLURM_RESTART_COUNT: '1' },
  };
  const expected = {
    ...{ rank: 9, size: 16, localRank: 1, host: 'gpu007', port: 23_456 },
    ...{ launcherServes: false, attempt: 1 },
  };
  assert.deepEqual(readLaunch(step), expected);
  for (const [list, host] of [
    ['rack[0-1]n[03,05-09],login1', 'rack0n03'],
    ['node[2,5]-ib', 'node2-ib'],
    ['alone', 'alone'],
  ]) {
    assert.equal(readLaunch({ ...step, SLURM_STEP_NODELIST: list })?.host, host);
  }
  assert.equal(readLaunch({ ...step, SLURM_STEP_NODELIST: 'a1,b2' })?.host, 'a1');
  assert.equal(readLaunch({ ...step, MASTER_ADDR: 'other' })?.host, 'other');
  // What a batch script sees before srun starts anything, and one process alone.
  assert.equal(readLaunch({ SLURM_NTASKS: '16', SLURM_PROCID: '0', SLURM_JOB_ID: '1' }), undefined);
  assert.equal(readLaunch({ ...step, SLURM_STEP_NUM_TASKS: '1' }), undefined);
  const torchrun = { WORLD_SIZE: '4', RANK: '3', MASTER_ADDR: 'n', MASTER_PORT: '1' };
  assert.equal(readLaunch({ ...step, ...torchrun })?.rank, 3);
  // A batch script that exports what all processes share.
  const shared = { WORLD_SIZE: '16', MASTER_ADDR: 'head', MASTER_PORT: '5' };
  assert.deepEqual(readLaunch({ ...step, ...shared }), { ...expected, host: 'head', port: 5 });
  assert.throws(() => readLaunch({ ...step, ...shared, WORLD_SIZE: '8' }), { message: /RANK/ });

  const mpi = {
    ...{ OMPI_COMM_WORLD_SIZE: '2', OMPI_COMM_WORLD_RANK: '1', OMPI_COMM_WORLD_LOCAL_RANK: '1' },
    ...{ MASTER_ADDR: 'head', MASTER_PORT: '5' },
  };
  assert.deepEqual(readLaunch(mpi), { ...expected, rank: 1, size: 2, host: 'head', port: 5, attempt: 0 });
});
