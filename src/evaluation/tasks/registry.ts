import { invalidArgument } from '../../errors.js';
import type { RetrievalTask } from './task.js';
import { openXquadR } from './xquad_r.js';

export interface OpenTaskOptions {
  /** The folder that holds the task's files. */
  data: string;
}

const tasks: Record<string, (data: string) => Promise<RetrievalTask>> = {
  xquad_r: openXquadR,
};

/** The names that openTask knows. */
export function taskNames(): string[] {
  return Object.keys(tasks).sort();
}

/**
 * Reads a benchmark from its folder. Throws INVALID_ARGUMENT for an unknown name, FILE_NOT_FOUND, FILE_READ_FAILED,
 * TASK_DATA_INVALID.
 */
export async function openTask(name: string, { data }: OpenTaskOptions): Promise<RetrievalTask> {
  const key = name.toLowerCase().replaceAll('-', '_');
  if (!Object.hasOwn(tasks, key)) throw invalidArgument('task', `one of ${taskNames().join(', ')}`, name);
  return tasks[key]!(data);
}
