import type { Task } from './task.js';

export interface MtebNames {
  task: string;
  split: string;
  /** Of the queries in one language and the passages in another. Default: de, or de-en. */
  subset?: (queryLanguage: string, passageLanguage: string) => string;
}

/** A benchmark that openTask knows. */
export interface TaskEntry<T extends Task = Task> {
  /** As openTask takes it, with underscores. */
  name: string;
  /** What is measured, in a line. */
  title: string;
  /** Where the data comes from, and its licence. */
  source: string;
  /** The shell command that fetches it, below the current folder. */
  download: string;
  /** What the folder given as data holds. */
  layout: string;
  /** How MTEB names it, where MTEB measures the same. */
  mteb?: MtebNames;
  open(folder: string): Promise<T>;
}
