import { invalidArgument, XlembedError } from '../../errors.js';
import { beir } from './beir.js';
import { belebele } from './belebele.js';
import { bitextFolder } from './bitext_folder.js';
import type { TaskEntry } from './entry.js';
import { flores } from './flores.js';
import { miracl } from './miracl.js';
import { mkqa } from './mkqa.js';
import { mlqaR } from './mlqa_r.js';
import { mrTydi } from './mr_tydi.js';
import { ntrex } from './ntrex.js';
import { similarity } from './similarity.js';
import type { RetrievalTask, Task } from './task.js';
import { tatoeba } from './tatoeba.js';
import { xquadR } from './xquad_r.js';

export interface OpenTaskOptions {
  /** The folder that holds the task's files. */
  data: string;
}

/** The names of those whose texts all fit in memory. */
export type RetrievalTaskName = 'xquad-r' | 'xquad_r' | 'mlqa-r' | 'mlqa_r' | 'belebele' | 'mkqa';

const entries: readonly TaskEntry[] = [
  ...[xquadR, mlqaR, belebele, mkqa],
  ...[miracl, mrTydi, beir],
  ...[tatoeba, flores, ntrex, bitextFolder],
  similarity,
];

/** What openTask knows of each benchmark: where its data comes from, how to fetch it, what the folder holds. */
export function taskEntries(): readonly TaskEntry[] {
  return entries;
}

/** The names that openTask knows. */
export function taskNames(): string[] {
  return entries.map(({ name }) => name).sort();
}

/** Throws INVALID_ARGUMENT for an unknown name; hyphens are as good as underscores. */
export function taskEntry(name: string): TaskEntry {
  const key = String(name).toLowerCase().replaceAll('-', '_');
  const entry = entries.find((candidate) => candidate.name === key);
  if (!entry) throw invalidArgument('task', `one of ${taskNames().join(', ').replaceAll('_', '-')}`, name);
  return entry;
}

/**
 * Reads a benchmark from its folder. Throws INVALID_ARGUMENT for an unknown name, and FILE_NOT_FOUND, FILE_READ_FAILED,
 * MALFORMED_LINE or TASK_DATA_INVALID, with the command that fetches the data.
 */
export function openTask(name: RetrievalTaskName, options: OpenTaskOptions): Promise<RetrievalTask>;
export function openTask(name: string, options: OpenTaskOptions): Promise<Task>;
export async function openTask(name: string, options: OpenTaskOptions): Promise<Task> {
  const entry = taskEntry(name);
  const data: unknown = options?.data;
  if (typeof data !== 'string') throw invalidArgument('data', "the folder with the task's files", data);
  try {
    return await entry.open(data);
  } catch (cause) {
    throw withRemedy(cause, entry);
  }
}

/** Data that is missing or damaged is fetched again. */
function withRemedy(cause: unknown, { download, layout }: TaskEntry): unknown {
  if (!(cause instanceof XlembedError)) return cause;
  const hint = `expected layout: ${layout}; to fetch it: ${download}`;
  return new XlembedError(cause.code, cause.message, hint, { cause });
}
