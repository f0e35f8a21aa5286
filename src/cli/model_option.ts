import { type Command, Option } from 'commander';
import { type DownloadProgress, resolveModel } from '../models/hub.js';
import type { EncoderDtype } from '../native.js';
import type { Console, Progress } from './console.js';

export interface ModelFlags {
  model: string;
  revision?: string | undefined;
  offline?: boolean | undefined;
}

const MODEL = 'folder of sentence-transformers or Hugging Face, or owner/name[@revision] on the hub';
const BYTES_PER_MEGABYTE = 1e6;

/** Declares --model and what says where it comes from. */
export function withModel(command: Command, role = '', { mandatory = true } = {}): Command {
  const model = new Option('--model <dir|id>', role ? `${role}: ${MODEL}` : MODEL);
  return withSource(command.addOption(model.makeOptionMandatory(mandatory)));
}

/** Declares --revision and --offline alone. */
export function withSource(command: Command): Command {
  return command
    .option('--revision <name>', 'branch, tag or commit of a model on the hub (default: main)')
    .option('--offline', 'take models from the cache only, as with HF_HUB_OFFLINE=1');
}

/** --dtype: what an encoder computes in. */
export function dtypeOption(): Option {
  return new Option('--dtype <name>', 'of weights and arithmetic; int8 (linear layers) for the CPU alone')
    .choices(['float32', 'bfloat16', 'float16', 'int8'] satisfies EncoderDtype[])
    .default('float32');
}

/** The folder of the model that the flags name, fetched with a progress line where it has to be. */
export async function modelFolder(flags: ModelFlags, console: Console): Promise<string> {
  const { model, revision, offline } = flags;
  const line = new FetchLine(model, console);
  try {
    return await resolveModel(model, { revision, offline, onProgress: (progress) => line.show(progress) });
  } finally {
    line.stop();
  }
}

class FetchLine {
  #progress: Progress | undefined;
  #shown = -1;

  constructor(
    private readonly model: string,
    private readonly console: Console,
  ) {}

  show({ file, bytesDone, bytesTotal }: DownloadProgress): void {
    if (file === null) {
      this.console.info(`another process is fetching ${this.model}; waiting for it`);
      return;
    }
    const total = Math.ceil(bytesTotal / BYTES_PER_MEGABYTE);
    const done = bytesDone === bytesTotal ? total : Math.floor(bytesDone / BYTES_PER_MEGABYTE);
    this.#progress ??= this.console.progress(`fetching ${this.model} (MB)`, total);
    if (done !== this.#shown) this.#progress.update(done, file);
    this.#shown = done;
  }

  stop(): void {
    this.#progress?.stop();
  }
}
