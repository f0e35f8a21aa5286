import { createHash } from 'node:crypto';
import { createReadStream, statSync } from 'node:fs';
import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { XlembedError } from '../../errors.js';
import { syncFile } from '../../files/siblings.js';
import { cacheError } from './cache.js';
import type { HubClient } from './client.js';
import type { RemoteFile } from './files.js';
import type { HubSettings } from './settings.js';

/** What stands of an interrupted transfer; not Python's name for it, as Python may append to its own. */
const PARTIAL = '.xlembed.incomplete';

/** The transfer of one file into `target`. */
export class BlobDownload {
  readonly #partial: string;

  /** `onBytes` gets the bytes that are there so far. */
  constructor(
    private readonly client: HubClient,
    private readonly commit: string,
    private readonly file: RemoteFile,
    private readonly target: string,
    private readonly settings: HubSettings,
    private readonly onBytes: (bytes: number) => void,
  ) {
    this.#partial = target + PARTIAL;
  }

  /**
   * `target` appears when it is complete and its digest is right. What an interrupted call received is kept beside it,
   * and the next call goes on from there. Throws CHECKSUM_MISMATCH, FILE_WRITE_FAILED, HUB_UNREACHABLE,
   * HUB_UNAUTHORIZED, HUB_NOT_FOUND.
   */
  async run(): Promise<void> {
    try {
      await mkdir(dirname(this.target), { recursive: true });
      await this.#receiveAll();
      await this.#verify();
      await rename(this.#partial, this.target);
    } catch (error) {
      // Another process may have been quicker: equal digests are equal contents.
      if (sizeOf(this.target) !== this.file.size) throw cacheError(this.target, error);
    }
  }

  /** A broken transfer is taken up again where it broke; one that brings nothing new counts as a failure. */
  async #receiveAll(): Promise<void> {
    const { settings, file } = this;
    if (sizeOf(this.#partial) > file.size) await rm(this.#partial);
    for (let failures = 0; sizeOf(this.#partial) !== file.size; ) {
      const before = sizeOf(this.#partial);
      try {
        await this.#receive(Math.max(0, before));
        if (sizeOf(this.#partial) === before)
          throw this.client.unreachable(new Error(`${file.path}: no bytes`));
      } catch (error) {
        if (!(error instanceof XlembedError) || error.code !== 'HUB_UNREACHABLE') throw error;
        failures = sizeOf(this.#partial) > before ? 0 : failures + 1;
        if (failures > settings.retries) throw error;
        await sleep(settings.retryDelay_ms * 2 ** Math.max(0, failures - 1));
      }
    }
  }

  /** One request: writes what comes, from byte `have` on. */
  async #receive(have: number): Promise<void> {
    const { idleTimeout_ms } = this.settings;
    const abort = new AbortController();
    const silence = () => abort.abort(new Error(`silent for ${idleTimeout_ms} ms`));
    const timer = setTimeout(silence, idleTimeout_ms);
    try {
      const response = await this.client.open(this.commit, this.file.path, have, abort.signal);
      // Status 200 is the whole file again.
      await this.#store(response, continuesAt(response, have) ? have : 0, timer);
    } finally {
      clearTimeout(timer);
      abort.abort();
    }
  }

  async #store(response: Response, start: number, timer: NodeJS.Timeout): Promise<void> {
    const handle = await open(this.#partial, start > 0 ? 'r+' : 'w');
    try {
      let position = start;
      for await (const chunk of this.#bodyOf(response)) {
        timer.refresh();
        if (position + chunk.length > this.file.size)
          await this.#refuse(`more than ${this.file.size} bytes came`);
        await writeAll(handle, chunk, position);
        position += chunk.length;
        this.onBytes(position);
      }
      await syncFile(handle);
    } finally {
      await handle.close();
    }
  }

  async *#bodyOf(response: Response): AsyncGenerator<Uint8Array> {
    if (!response.body) return;
    try {
      for await (const chunk of response.body) yield chunk;
    } catch (cause) {
      throw this.client.unreachable(cause);
    }
  }

  /** Of what is on the disk, so that a damaged first part of a resumed transfer is found as well. */
  async #verify(): Promise<void> {
    const { algorithm, digest, size } = this.file;
    const hash = createHash(algorithm);
    // Git hashes a header before the content.
    if (algorithm === 'sha1') hash.update(`blob ${size}\0`);
    await pipeline(createReadStream(this.#partial), hash);
    const received = hash.digest('hex');
    if (received !== digest) await this.#refuse(`expected ${algorithm} ${digest}, received ${received}`);
  }

  async #refuse(what: string): Promise<never> {
    await rm(this.#partial, { force: true });
    throw new XlembedError(
      'CHECKSUM_MISMATCH',
      `${this.file.path}: ${what}`,
      'the bytes received were thrown away; run it again, and if it persists check proxies and HF_ENDPOINT',
    );
  }
}

function continuesAt(response: Response, have: number): boolean {
  return (
    response.status === 206 && (response.headers.get('content-range') ?? '').startsWith(`bytes ${have}-`)
  );
}

async function writeAll(handle: FileHandle, chunk: Uint8Array, position: number): Promise<void> {
  for (let written = 0; written < chunk.length; ) {
    const { bytesWritten } = await handle.write(chunk, written, chunk.length - written, position + written);
    written += bytesWritten;
  }
}

/** -1 when there is no such file. */
function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? -1;
}
