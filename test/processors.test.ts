import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { test } from 'node:test';
import { processorQuota, processors, shareOfProcessors } from '#xlembed/processors.js';

/** The quota where these files are all that there is. */
function quotaOf(files: Record<string, string>): number {
  return processorQuota((path) => {
    const text = files[path];
    if (text === undefined) throw new Error(`ENOENT: ${path}`);
    return `${text}\n`;
  });
}

test("a container's limit is its share of time, rounded up", () => {
  const limited = { '/proc/self/cgroup': '0::/', '/sys/fs/cgroup/cpu.max': '250000 100000' };
  assert.equal(quotaOf(limited), 3);
  assert.equal(quotaOf({ ...limited, '/sys/fs/cgroup/cpu.max': 'max 100000' }), Number.POSITIVE_INFINITY);
});

test('a group above may limit more than the own one', () => {
  const files = {
    '/proc/self/cgroup': '0::/kubepods.slice/pod1/container',
    '/sys/fs/cgroup/kubepods.slice/pod1/container/cpu.max': '800000 100000',
    '/sys/fs/cgroup/kubepods.slice/pod1/cpu.max': '400000 100000',
    '/sys/fs/cgroup/kubepods.slice/cpu.max': 'max 100000',
  };
  assert.equal(quotaOf(files), 4);
});

test('version 1 of cgroups limits too, also where a container sees the path of its host', () => {
  const own = '/sys/fs/cgroup/cpu,cpuacct';
  const files = {
    '/proc/self/cgroup': '11:memory:/docker/1\n4:cpu,cpuacct:/docker/1\n3:cpuset:/docker/1\n0::/docker/1',
    [`${own}/cpu.cfs_quota_us`]: '200000',
    [`${own}/cpu.cfs_period_us`]: '100000',
  };
  assert.equal(quotaOf(files), 2);
  assert.equal(quotaOf({ ...files, [`${own}/cpu.cfs_quota_us`]: '-1' }), Number.POSITIVE_INFINITY);
});

test('without cgroups nothing but the affinity limits', () => {
  assert.equal(quotaOf({}), Number.POSITIVE_INFINITY);
  assert.ok(processors() >= 1 && processors() <= availableParallelism());
});

test('the processes of a job on one machine share its processors', () => {
  const all = processors();
  assert.equal(shareOfProcessors({}), all);
  assert.equal(shareOfProcessors({ LOCAL_WORLD_SIZE: '1' }), all);
  assert.equal(shareOfProcessors({ LOCAL_WORLD_SIZE: '2' }), Math.max(1, Math.floor(all / 2)));
  assert.equal(shareOfProcessors({ OMPI_COMM_WORLD_LOCAL_SIZE: '1000' }), 1);
  assert.equal(shareOfProcessors({ LOCAL_WORLD_SIZE: 'many' }), all);
});
