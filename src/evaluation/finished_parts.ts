import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileError } from '../files/file_error.js';
import { writeTextBeside } from '../files/write_file.js';
import { hashOf } from './embedding_cache.js';

/** Results of a task's parts (languages, pairs), kept so that an interrupted evaluation does none twice. */
export class FinishedParts {
  /** Without a folder nothing is kept. `identity` is what every part depends on: the model and how it is run. */
  constructor(
    readonly folder: string | undefined,
    readonly identity: unknown,
  ) {}

  /** The part's stored result, or what `compute` gives, which is then stored. `inputs` is what it depends on besides. */
  async get<T>(name: string, inputs: unknown, compute: () => Promise<T>): Promise<T> {
    if (this.folder === undefined) return compute();
    const path = join(this.folder, `${name}-${hashOf([this.identity, name, inputs])}.json`);
    const stored = await readStored<T>(path);
    if (stored !== undefined) return stored;
    const result = await compute();
    await writeTextBeside(path, JSON.stringify(result));
    return result;
  }
}

/** undefined for what is not there, or is damaged: it is made again. */
async function readStored<T>(path: string): Promise<T | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as T;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT' || cause instanceof SyntaxError) return undefined;
    throw fileError(path, cause);
  }
}
