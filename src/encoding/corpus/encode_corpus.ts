import { createHash } from 'node:crypto';
import { requirePath } from '../../checked_options.js';
import { STDIN } from '../../datasets/bytes.js';
import { TextInput } from '../../datasets/texts.js';
import { invalidArgument, XlembedError } from '../../errors.js';
import { readLaunch } from '../../processes/launch.js';
import { TokenBudget } from '../encode_sequences.js';
import type { Encoder } from '../encoder.js';
import { Alone, type Crew } from './crew.js';
import { FigureCounter } from './figures.js';
import { FlatMemory } from './flat_memory.js';
import { type CorpusManifest, checkDuplicates, describeRun } from './manifest.js';
import { type CorpusOptions, type CorpusSettings, readsStdin, resolveSettings } from './options.js';
import { OutputFolder, type ShardInProgress } from './output_folder.js';
import { encodedWindows, type PipelineParts } from './pipeline.js';
import { timeless } from './same_settings.js';
import { ShardReader } from './shard_reader.js';
import { SharedCrew } from './shared_crew.js';

export type { CorpusManifest } from './manifest.js';
export type { CorpusOptions } from './options.js';

/**
 * Embeds a corpus into a folder of immutable shards, each a pure function of its rows and the settings, so that neither
 * interruptions nor the number of processes change a byte; `manifest.json` is written last. Throws what reading and
 * encoding throw, FILE_EXISTS, FILE_WRITE_FAILED, RESUME_REFUSED, DUPLICATE_ID, PROCESS_LOST,
 * PROCESSES_DIFFER.
 *
 * With WORLD_SIZE above 1 in the environment (torchrun) the processes take shards from a shared counter; the folder must
 * be one that all of them see.
 */
export async function encodeCorpus(
  encoder: Encoder,
  input: TextInput,
  folder: string,
  options: CorpusOptions = {},
): Promise<CorpusManifest> {
  if (!(input instanceof TextInput)) throw invalidArgument('input', 'what TextInput.open gives', input);
  requirePath('folder', folder);
  const settings = resolveSettings(encoder, input, options);
  const output = new OutputFolder(folder, settings);
  const { resume = false, overwrite = false } = options;
  const launch = readLaunch();
  if ((resume || launch) && readsStdin(settings)) {
    const why = resume ? 'as a run resumes' : 'as several processes read them';
    throw invalidArgument('inputs', `files, ${why},`, STDIN, 'the standard input is read once');
  }
  const crew = launch ? await SharedCrew.join(launch, jobName(folder, settings), options) : new Alone();
  try {
    await crew.prepare(() => output.prepare({ resume, overwrite }));
    if (crew.rank !== 0) await output.requireAgreement();
    const ended = await output.manifest<CorpusManifest>();
    return ended ?? (await new CorpusRun(encoder, input, settings, output, crew, options).run());
  } finally {
    await crew.leave();
    await output.leave();
  }
}

/** The same in all processes of a job. */
function jobName(folder: string, settings: CorpusSettings): string {
  return createHash('sha256')
    .update(JSON.stringify([folder, timeless(settings).inputs]))
    .digest('hex')
    .slice(0, 16);
}

class CorpusRun {
  readonly #reader: ShardReader;
  readonly #figures: FigureCounter;
  readonly #parts: PipelineParts;

  constructor(
    encoder: Encoder,
    private readonly input: TextInput,
    private readonly settings: CorpusSettings,
    private readonly output: OutputFolder,
    private readonly crew: Crew,
    private readonly options: CorpusOptions,
  ) {
    const { onProgress, onNote, signal } = options;
    const figures = new FigureCounter(input);
    this.#figures = figures;
    this.#reader = new ShardReader(input, settings.rowsPerShard);
    let isSaid = false;
    const budget = new TokenBudget(settings.tokenBudget, (tokens) => {
      if (!isSaid)
        onNote?.(`the device ran out of memory: going on with ${tokens} tokens a batch, or fewer if need be`);
      isSaid = true;
    });
    this.#parts = {
      encoder,
      settings,
      budget,
      figures,
      signal,
      onProgress: () => onProgress?.(figures.now()),
    };
  }

  async run(): Promise<CorpusManifest> {
    const { signal } = this.options;
    const end = () => this.#closeStdin();
    signal?.addEventListener('abort', end);
    try {
      return await this.#shards();
    } finally {
      signal?.removeEventListener('abort', end);
    }
  }

  async #shards(): Promise<CorpusManifest> {
    using memory = new FlatMemory();
    await this.#encode(this.#untaken(), memory);
    while (!this.#interrupted) {
      const shards = await this.crew.takeOver(() => this.#unfinished());
      if (shards.length === 0) break;
      await this.#encode(shards, memory);
    }
    if (this.#interrupted) return this.#leave();
    await this.crew.conclude(
      () => this.#finish(),
      () => this.output.isComplete(),
    );
    return { ...(await this.output.manifest<CorpusManifest>())!, figures: this.#figures.now() };
  }

  async #leave(): Promise<CorpusManifest> {
    const manifest = await this.#describe(false);
    await this.output.interrupt(manifest);
    return manifest;
  }

  async #finish(): Promise<void> {
    this.input.requireUnchanged();
    const manifest = await this.#describe(true);
    await checkDuplicates(this.output, manifest, this.options.duplicates ?? 'fail');
    await this.output.complete(manifest);
  }

  get #interrupted(): boolean {
    return this.options.signal?.aborted ?? false;
  }

  async *#untaken(): AsyncGenerator<number, void, undefined> {
    for (;;) {
      const shard = await this.crew.next();
      if (!this.output.has(shard)) yield shard;
    }
  }

  /** Shards of the whole input without a record. */
  #unfinished(): number[] {
    const all = Array.from({ length: this.#reader.shards ?? 0 }, (_, shard) => shard);
    return all.filter((shard) => !this.output.has(shard));
  }

  async #encode(shards: Iterable<number> | AsyncIterable<number>, memory: FlatMemory): Promise<void> {
    let part: ShardInProgress | undefined;
    try {
      for await (const encoded of encodedWindows(this.#reader.windows(shards), this.#parts)) {
        const { shard, last } = encoded.window;
        try {
          part ??= await this.output.begin(shard);
          await this.output.append(part, encoded);
          if (!last) continue;
          await this.output.commit(part);
        } catch (error) {
          this.#closeStdin();
          throw error;
        }
        part = undefined;
        this.#figures.shardDone();
        await memory.settle();
        this.#parts.onProgress();
      }
    } catch (error) {
      const wasClosed = error instanceof XlembedError && error.code === 'FILE_READ_FAILED';
      if (!(wasClosed && this.#interrupted && readsStdin(this.settings))) throw error;
    } finally {
      await part?.abort();
    }
  }

  /** Whoever writes to it may be idle: a run that ends waits for no further line. */
  #closeStdin(): void {
    if (readsStdin(this.settings)) process.stdin.destroy();
  }

  async #describe(complete: boolean): Promise<CorpusManifest> {
    const settings = (await this.output.job()) ?? this.settings;
    return describeRun(settings, await this.output.records(), this.#figures.now(), complete);
  }
}
