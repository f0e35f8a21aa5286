import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { STDIN } from '../../datasets/bytes.js';
import { invalidArgument, XlembedError } from '../../errors.js';
import { fileError, writeError } from '../../files/file_error.js';
import { sha256OfFile } from '../../files/sha256.js';
import { syncPath } from '../../files/siblings.js';
import { writeFileBeside } from '../../files/write_file.js';
import { isWithin, removeLeftovers } from '../../files/write_folder.js';
import { RunLock } from '../../processes/run_lock.js';
import type { TextCounts } from '../encoder.js';
import { hashedIds } from './duplicate_ids.js';
import { entriesOf, folderExists, isOurs, MANIFEST, PROGRESS, requireFiles } from './folder_entries.js';
import { type CorpusSettings, readsStdin } from './options.js';
import type { EncodedWindow } from './pipeline.js';
import { requireAgreement, requireSame } from './same_settings.js';
import { type ShardWriter, shardFormat } from './shard_format.js';

/** The manifest of a run that was interrupted: what is there so far. */
const INCOMPLETE_MANIFEST = 'manifest.incomplete.json';
const JOB = 'job.json';
const LOCK = 'lock';
const STAGING = 'writing-';

export interface StoredFile {
  name: string;
  bytes: number;
  sha256: string;
}

/** A shard that is finished: all of its files are in place. */
export interface ShardRecord extends TextCounts {
  shard: number;
  rows: number;
  /** Rows of the input, blank and malformed ones included. */
  inputRows: number;
  tokens: number;
  skippedLines: number;
  firstSkipped?: string;
  files: StoredFile[];
}

function shardStem(shard: number): string {
  return `shard-${String(shard).padStart(5, '0')}`;
}

/**
 * A folder that fills with immutable shards. A shard's files are written in a folder of their own, synced and renamed
 * into place; its record comes last, and says that the shard is finished.
 */
export class OutputFolder {
  readonly #progress: string;
  readonly #lock: RunLock;

  constructor(
    readonly folder: string,
    private readonly settings: CorpusSettings,
  ) {
    this.#progress = join(folder, PROGRESS);
    this.#lock = new RunLock(folder, join(this.#progress, LOCK));
  }

  /**
   * Makes the folder ready for a run. With `resume`, what a run with the same settings has finished stays. Throws
   * FILE_EXISTS, RESUME_REFUSED, FILE_WRITE_FAILED, INVALID_ARGUMENT for inputs that would be replaced, and
   * MALFORMED_FILE for a folder that is complete but for lost files.
   */
  async prepare({ resume, overwrite }: { resume: boolean; overwrite: boolean }): Promise<void> {
    const entries = await entriesOf(this.folder);
    await this.#lock.requireFree();
    const begun = resume ? await this.#begunWith() : undefined;
    const replaced = begun ? [] : entries.filter((name) => name !== PROGRESS);
    if (begun) requireSame(this.folder, this.settings, begun);
    else if (replaced.length > 0 || (entries.length > 0 && !resume)) {
      if (!overwrite || !entries.every(isOurs)) throw folderExists(this.folder, entries);
      await this.#requireInputsApart();
    }
    const ended = begun && (await this.manifest<{ shards: ShardRecord[] }>());
    if (ended) await requireFiles(this.folder, ended.shards);
    await this.#writing(async () => {
      // What a run that was killed, maybe behind its last step, has left.
      if (begun) await removeLeftovers(this.folder);
      if (ended) return rm(this.#progress, { recursive: true, force: true });
      await mkdir(this.#progress, { recursive: true });
      await this.#lock.take();
      for (const name of replaced) await rm(join(this.folder, name), { recursive: true, force: true });
      if (!begun) await this.#lock.clear();
      await rm(join(this.folder, INCOMPLETE_MANIFEST), { force: true });
      await removeLeftovers(this.#progress);
      for (const name of await readdir(this.#progress)) {
        if (name.startsWith(STAGING)) await rm(join(this.#progress, name), { recursive: true, force: true });
      }
      await this.#forgetDamaged();
      await this.#writeJson(join(this.#progress, JOB), this.settings);
    });
  }

  /** A shard with a file that is gone or cut short is not finished: it is made again, to the same bytes. */
  async #forgetDamaged(): Promise<void> {
    for (const name of await this.#recordNames()) {
      const path = join(this.#progress, name);
      if (!(await this.#isWhole(path))) await rm(path);
    }
  }

  async #isWhole(path: string): Promise<boolean> {
    try {
      const { shard, rows, files } = JSON.parse(await readFile(path, 'utf8')) as ShardRecord;
      const expected = files.map(({ name, bytes }): [string, number] => [join(this.folder, name), bytes]);
      expected.push([this.hashesPath(shard), 8 * rows]);
      for (const [file, bytes] of expected) if ((await stat(file)).size !== bytes) return false;
      return true;
    } catch {
      return false;
    }
  }

  async #recordNames(): Promise<string[]> {
    return (await readdir(this.#progress)).filter((name) => /^shard-\d+\.json$/.test(name));
  }

  /** Lets other runs work in the folder. */
  async leave(): Promise<void> {
    await this.#lock.release();
  }

  /** The settings of a run that has not ended, as the process that made the folder ready has them. */
  async job(): Promise<CorpusSettings | undefined> {
    return readJsonIfThere<CorpusSettings>(join(this.#progress, JOB));
  }

  /** Of a folder that another process has made ready. Throws PROCESSES_DIFFER. */
  async requireAgreement(): Promise<void> {
    const begun = await this.#begunWith();
    if (begun) requireAgreement(this.settings, begun);
  }

  /** The manifest of a run that has ended. */
  async manifest<T>(): Promise<T | undefined> {
    return readJsonIfThere<T>(join(this.folder, MANIFEST));
  }

  isComplete(): boolean {
    return existsSync(join(this.folder, MANIFEST));
  }

  /** The shard is finished. */
  has(shard: number): boolean {
    return existsSync(this.#recordPath(shard)) || this.isComplete();
  }

  /** Of the finished shards, in their order. */
  async records(): Promise<ShardRecord[]> {
    const names = await this.#recordNames();
    const texts = await Promise.all(names.map((name) => readFile(join(this.#progress, name), 'utf8')));
    return texts.map((text) => JSON.parse(text) as ShardRecord).sort((a, b) => a.shard - b.shard);
  }

  /** Hashes of a finished shard's ids (duplicate_ids.ts). */
  hashesPath(shard: number): string {
    return join(this.#progress, `${shardStem(shard)}.hashes`);
  }

  async begin(shard: number): Promise<ShardInProgress> {
    return this.#writing(async () => {
      // Processes in containers may have the same number.
      const staging = await mkdtemp(join(this.#progress, `${STAGING}${process.pid}-${shardStem(shard)}-`));
      const { format, precision } = this.settings;
      const writer = await shardFormat(format, precision).create(staging, shardStem(shard), this.settings);
      return new ShardInProgress(shard, staging, writer);
    });
  }

  async append(part: ShardInProgress, encoded: EncodedWindow): Promise<void> {
    await this.#writing(() => part.append(encoded));
  }

  async commit(part: ShardInProgress): Promise<void> {
    await this.#writing(async () => {
      const names = await part.writer.close();
      const files: StoredFile[] = [];
      for (const name of names) files.push({ name, ...(await sha256OfFile(join(part.staging, name))) });
      const hashes = join(part.staging, 'hashes');
      await writeFile(hashes, hashedIds(part.ids), { flush: true } as never);
      await rename(hashes, this.hashesPath(part.shard));
      for (const name of names) await rename(join(part.staging, name), join(this.folder, name));
      await syncPath(this.folder);
      await this.#writeJson(this.#recordPath(part.shard), { ...part.counts, files });
      await rm(part.staging, { recursive: true, force: true });
    });
  }

  /** Says what is there when a run ends early; the next one takes it away. */
  async interrupt(manifest: unknown): Promise<void> {
    await this.#writing(() => this.#writeJson(join(this.folder, INCOMPLETE_MANIFEST), manifest));
  }

  /** The last file: with it the folder is complete. */
  async complete(manifest: unknown): Promise<void> {
    await this.#writing(async () => {
      // Of another process of the same job that was interrupted.
      await rm(join(this.folder, INCOMPLETE_MANIFEST), { force: true });
      await this.#writeJson(join(this.folder, MANIFEST), manifest);
      await rm(this.#progress, { recursive: true, force: true });
    });
  }

  async #requireInputsApart(): Promise<void> {
    for (const { path } of this.settings.inputs) {
      if (path === STDIN || !(await isWithin(this.folder, path))) continue;
      throw invalidArgument('inputs', `files outside of ${this.folder}, which is to be replaced,`, path);
    }
  }

  #recordPath(shard: number): string {
    return join(this.#progress, `${shardStem(shard)}.json`);
  }

  async #begunWith(): Promise<CorpusSettings | undefined> {
    // In this order: when another process takes the job away, the manifest is there.
    const begun = (await this.job()) ?? (await this.manifest<CorpusSettings>());
    if (begun && (typeof begun.device !== 'string' || !Array.isArray(begun.inputs)))
      throw notOurs(this.folder, 'no folder whose run can be read');
    return begun;
  }

  async #writeJson(path: string, value: unknown): Promise<void> {
    const text = `${JSON.stringify(value, null, 2)}\n`;
    await writeFileBeside(path, (temporary) => writeFile(temporary, text));
  }

  async #writing<T>(write: () => Promise<T>): Promise<T> {
    try {
      return await write();
    } catch (cause) {
      throw this.#resumable(writeError(this.folder, cause));
    }
  }

  #resumable(error: XlembedError): XlembedError {
    if (error.code !== 'FILE_WRITE_FAILED' || readsStdin(this.settings)) return error;
    const hint = `${error.hint}; finished shards are kept: then run again with resume`;
    return new XlembedError(error.code, error.message, hint, { cause: error.cause });
  }
}

/** A shard whose windows come in one after the other. */
export class ShardInProgress {
  readonly ids: string[] = [];
  readonly counts: Omit<ShardRecord, 'files'>;

  constructor(
    readonly shard: number,
    readonly staging: string,
    readonly writer: ShardWriter,
  ) {
    const texts = { truncated: 0, replacedSurrogates: 0, empty: 0 };
    this.counts = { shard, rows: 0, inputRows: 0, tokens: 0, ...texts, skippedLines: 0 };
  }

  async append({ window, vectors, tokens, truncated, replacedSurrogates }: EncodedWindow): Promise<void> {
    const { records } = window;
    await this.writer.append({ records, vectors });
    for (const { id } of records) this.ids.push(id);
    const { counts } = this;
    counts.rows += records.length;
    counts.inputRows += window.inputRows;
    counts.tokens += tokens;
    counts.truncated += truncated;
    counts.replacedSurrogates += replacedSurrogates;
    counts.empty += records.filter(({ text }) => text === '').length;
    counts.skippedLines += window.skippedLines;
    if (window.firstSkipped !== undefined) counts.firstSkipped ??= window.firstSkipped;
  }

  /** Leaves nothing behind. */
  async abort(): Promise<void> {
    await this.writer.abort();
    await rm(this.staging, { recursive: true, force: true });
  }
}

async function readJsonIfThere<T>(path: string): Promise<T | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as T;
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) {
      const error = fileError(path, cause);
      if (error.code === 'FILE_NOT_FOUND') return undefined;
      throw error;
    }
    throw notOurs(path, 'not JSON', cause);
  }
}

function notOurs(path: string, what: string, cause?: unknown): XlembedError {
  return new XlembedError('MALFORMED_FILE', `${path} is ${what}`, 'start again with overwrite', { cause });
}
