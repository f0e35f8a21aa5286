import { existsSync } from 'node:fs';
import { mkdir, open, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { EmbeddingsOrigin } from '../encoding/embeddings_origin.js';
import { invalidArgument, XlembedError } from '../errors.js';
import { writeError } from '../files/file_error.js';
import { syncPath } from '../files/siblings.js';
import { writeFileBeside } from '../files/write_file.js';
import { isTaken, isWithin, replaceFolder, requireReplaceable } from '../files/write_folder.js';
import { RunLock } from '../processes/run_lock.js';
import { INDEX_FOLDER, idLine } from './faiss_folder.js';

const JOB = 'job.json';

/** What the bytes of an index depend on, and where its vectors came from. */
export interface FaissJob {
  factory: string;
  metric: 'inner_product' | 'l2';
  trainingRows: number;
  rows: number;
  dimensions: number;
  /** Of the embeddings: the same for the same bytes. */
  source: string;
  /** Of the embeddings, where it is known; nothing depends on it, and earlier versions did not write it down. */
  origin: EmbeddingsOrigin | undefined;
}

interface Checkpoint {
  /** File name of the index so far. */
  index: string;
  rows: number;
  /** Length of ids.jsonl then. */
  idBytes: number;
}

/**
 * Where an index comes into being: OUTPUT.building holds `job.json`, the last checkpoint, and `result`, which is renamed
 * to OUTPUT when it is whole. A kill at any moment leaves the old output or the new one, and a build that goes on.
 */
export class FaissBuildFolder {
  readonly #output: string;
  readonly #building: string;
  readonly #result: string;
  readonly #lock: RunLock;
  #checkpoint: Checkpoint | undefined;
  #rows = 0;

  constructor(
    private readonly name: string,
    private readonly job: FaissJob,
  ) {
    this.#output = resolve(name);
    this.#building = `${this.#output}.building`;
    this.#result = join(this.#building, 'result');
    this.#lock = new RunLock(this.#building, join(this.#building, 'lock'));
  }

  /** Rows that are in: ids, and vectors once a checkpoint says so. */
  get rows(): number {
    return this.#rows;
  }

  /** The index to go on with. */
  get checkpoint(): string | undefined {
    return this.#checkpoint && join(this.#building, this.#checkpoint.index);
  }

  /** Throws INVALID_ARGUMENT where the output would take the place of the embeddings. */
  async requireApart(embeddings: string): Promise<void> {
    for (const folder of [this.#output, this.#building]) {
      if (!existsSync(folder) || !(await isWithin(folder, embeddings))) continue;
      throw invalidArgument('output', 'a folder that does not hold the embeddings', this.name);
    }
  }

  /** False when there is nothing left to do. Throws FILE_EXISTS and FILE_WRITE_FAILED. */
  async prepare({
    resume = false,
    overwrite = false,
  }: {
    resume?: boolean | undefined;
    overwrite?: boolean | undefined;
  }): Promise<boolean> {
    return this.#writing(async () => {
      await this.#lock.requireFree();
      if (await isTaken(this.#output)) {
        if (resume && (await this.#isOf(this.#output))) return false;
        if (!overwrite) throw exists(this.name);
        await requireReplaceable(this.name, INDEX_FOLDER);
      }
      await mkdir(this.#building, { recursive: true });
      await this.#lock.take();
      if (resume && (await this.#isOf(this.#building))) await this.#openCheckpoint();
      if (!this.#checkpoint) {
        await this.#lock.clear();
        await mkdir(this.#result, { recursive: true });
        await this.#writeJob(this.#building);
      }
      await truncate(await this.#idsFile(), this.#checkpoint?.idBytes ?? 0);
      return true;
    });
  }

  /** Lets another build go on. */
  async leave(): Promise<void> {
    await this.#lock.release();
  }

  async appendIds(ids: readonly string[], texts: readonly (string | undefined)[]): Promise<void> {
    const lines = ids.map((id, n) => idLine(this.#rows + n, this.#rows + n, id, texts[n]));
    await this.#writing(async () => {
      const file = await open(await this.#idsFile(), 'a');
      try {
        await file.appendFile(lines.join(''));
      } finally {
        await file.close();
      }
    });
    this.#rows += ids.length;
  }

  /** `write` puts the index with all rows so far where it is told to. */
  async saveCheckpoint(write: (path: string) => Promise<void>): Promise<void> {
    await this.#writing(async () => {
      const ids = await this.#idsFile();
      await syncPath(ids);
      const file = await open(ids, 'r');
      const { size } = await file.stat().finally(() => file.close());
      const before = this.#checkpoint;
      const next: Checkpoint = { index: `checkpoint-${this.#rows}.faiss`, rows: this.#rows, idBytes: size };
      await writeFileBeside(join(this.#building, next.index), write);
      await writeJson(join(this.#building, 'checkpoint.json'), next);
      this.#checkpoint = next;
      if (before && before.index !== next.index)
        await rm(join(this.#building, before.index), { force: true });
    });
  }

  /** Likewise; then the result takes its place. */
  async complete(write: (path: string) => Promise<void>): Promise<void> {
    await this.#writing(async () => {
      await writeFileBeside(join(this.#result, 'index.faiss'), write);
      await syncPath(await this.#idsFile());
      await this.#writeJob(this.#result);
      await syncPath(this.#result);
      await replaceFolder(this.#result, this.#output);
      await rm(this.#building, { recursive: true, force: true });
    });
  }

  async #openCheckpoint(): Promise<void> {
    const checkpoint = await readJson<Checkpoint>(join(this.#building, 'checkpoint.json'));
    if (!checkpoint || !existsSync(this.#result)) return;
    this.#checkpoint = checkpoint;
    this.#rows = checkpoint.rows;
  }

  async #idsFile(): Promise<string> {
    const path = join(this.#result, 'ids.jsonl');
    if (!existsSync(path)) await writeFile(path, '');
    return path;
  }

  async #isOf(folder: string): Promise<boolean> {
    const found = await readJson<FaissJob>(join(folder, JOB));
    return found !== undefined && bytesOf(found) === bytesOf(this.job);
  }

  #writeJob(folder: string): Promise<void> {
    return writeJson(join(folder, JOB), this.job);
  }

  async #writing<T>(write: () => Promise<T>): Promise<T> {
    try {
      return await write();
    } catch (cause) {
      throw writeError(this.name, cause);
    }
  }
}

function bytesOf({ origin: _origin, ...job }: FaissJob): string {
  return JSON.stringify(job);
}

function writeJson(path: string, value: unknown): Promise<void> {
  return writeFileBeside(path, (temporary) => writeFile(temporary, `${JSON.stringify(value, null, 2)}\n`));
}

/** Of a folder with a built index; undefined where it is not known. */
export async function readFaissOrigin(folder: string): Promise<EmbeddingsOrigin | undefined> {
  return (await readJson<FaissJob>(join(folder, JOB)))?.origin;
}

async function readJson<T>(path: string): Promise<T | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as T;
  } catch {
    return undefined;
  }
}

function exists(folder: string): XlembedError {
  return new XlembedError(
    'FILE_EXISTS',
    `${folder} exists, and is no index of these embeddings and settings`,
    'xlembed index writes into another folder, or replaces this one with --overwrite',
  );
}
