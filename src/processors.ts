import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

type Read = (path: string) => string;

/** Processors that this process may keep busy: those it may run on, and no more than a container's share of time. */
export function processors(): number {
  return Math.min(availableParallelism(), processorQuota());
}

/** Those for each of a job's processes on this machine, of which torchrun and mpirun tell the number. */
export function shareOfProcessors(
  {
    LOCAL_WORLD_SIZE: torchrun,
    OMPI_COMM_WORLD_LOCAL_SIZE: mpirun,
  }: Record<string, string | undefined> = process.env,
): number {
  const processes = Number(torchrun ?? mpirun);
  return processes > 1 ? Math.max(1, Math.floor(processors() / processes)) : processors();
}

/** The share of processor time of this process's cgroup and those above, rounded up; infinite without a limit. */
export function processorQuota(read: Read = (path) => readFileSync(path, 'utf8')): number {
  const groups = textOf(read, '/proc/self/cgroup').matchAll(/^\d+:([^:]*):(\/.*)$/gm);
  const limits = [...groups].flatMap(([, controllers = '', path = '/']) =>
    upwards(path).map((group) => limitOf(read, controllers, group)),
  );
  return Math.min(...limits, Number.POSITIVE_INFINITY);
}

/** `/a/b` -> `/a/b`, `/a`, ``: the last one is a container's own, where the path is that of its host. */
function upwards(path: string): string[] {
  const names = path.split('/').filter(Boolean);
  return Array.from({ length: names.length + 1 }, (_, n) =>
    ['', ...names.slice(0, names.length - n)].join('/'),
  );
}

function limitOf(read: Read, controllers: string, group: string): number {
  // Version 2 of cgroups has one tree, which names no controllers.
  const folder = `/sys/fs/cgroup${controllers && `/${controllers}`}${group}`;
  const names = controllers ? ['cpu.cfs_quota_us', 'cpu.cfs_period_us'] : ['cpu.max'];
  if (controllers && !controllers.split(',').includes('cpu')) return Number.POSITIVE_INFINITY;
  const [quota = 0, period = 0] = names
    .flatMap((name) => textOf(read, `${folder}/${name}`).trim().split(' '))
    .map(Number);
  return quota > 0 && period > 0 ? Math.ceil(quota / period) : Number.POSITIVE_INFINITY;
}

function textOf(read: Read, path: string): string {
  try {
    return read(path);
  } catch {
    return '';
  }
}
