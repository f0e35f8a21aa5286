import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { open, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Command, Option } from 'commander';
import { languagesOf } from '../batches/cells.js';
import { heldOutNotes, isHeldOut } from '../batches/held_out.js';
import { readRecords } from '../datasets/read_records.js';
import type { ParallelRecord } from '../datasets/records.js';
import { Encoder } from '../encoding/encoder.js';
import { invalidArgument, XlembedError } from '../errors.js';
import { cachedEmbed } from '../evaluation/embedding_cache.js';
import { writeError } from '../files/file_error.js';
import { syncFile } from '../files/siblings.js';
import { makeFolder, requireWritable } from '../files/write_file.js';
import { tokenizerFilesOf } from '../models/tokenizer_files.js';
import { packageVersion } from '../native.js';
import { RunLock } from '../processes/run_lock.js';
import { FlatIndex } from '../search/flat_index.js';
import { CandidatePool } from '../search/mining/candidates.js';
import {
  type Embedder,
  indexCandidates,
  type MiningCounts,
  mineNegatives,
} from '../search/mining/mine_negatives.js';
import { type MiningOptions, resolveMiningOptions } from '../search/mining/options.js';
import { list, number, outputPath, parsed, positiveInteger, rankRange } from './arguments.js';
import { type Console, createConsole, settingsLines } from './console.js';
import { Interrupt } from './interrupt.js';
import { type ModelFlags, modelFolder, withModel } from './model_option.js';

interface MineFlags extends ModelFlags, MiningOptions {
  data: string[];
  output: string;
  overwrite?: boolean;
  languages?: string[];
  holdOut?: string[];
  maxTokens?: number;
  device: string;
  skipMalformed?: boolean;
  json?: boolean;
}

export function addMine(program: Command): void {
  withModel(program.command('mine'), 'ranks the passages')
    .description('Find hard negatives: passages that rank high for a query that they do not answer')
    .requiredOption('--data <file...>', 'JSONL records, as for training; their positives are the passages')
    .requiredOption('--output <file>', 'JSONL: the same records with negatives', outputPath)
    .option('--overwrite', 'replace the output file')
    .option('--negatives <n>', 'wanted for each positive', positiveInteger, 5)
    .addOption(parsed('--ranks <first-last>', 'to take them from, answers not counted', rankRange, '10-100'))
    .option('--margin <x>', "how far a negative's score must lie below the positive's", number)
    .option('--relative-margin <share>', "the same as a share of the positive's score", number)
    .addOption(
      new Option('--language <policy>', "of negatives, seen from the positive's")
        .choices(['same', 'other', 'any'])
        .default('same'),
    )
    .option('--languages <list>', 'of passages, comma-separated (default: all)', list)
    .option('--hold-out <list>', 'languages whose passages are left out', list)
    .option('--max-tokens <n>', 'tokens kept of each text (default: what the model takes)', positiveInteger)
    .option('--device <name>', 'cpu, cuda or cuda:N', 'cpu')
    .option('--skip-malformed', 'leave malformed lines out and count them')
    .option('--json', 'print the result as JSON')
    .action(mine);
}

async function mine(flags: MineFlags): Promise<void> {
  const console = createConsole(flags);
  const { negatives, ranks, margin, relativeMargin, language } = flags;
  const options = resolveMiningOptions({
    negatives: negatives!,
    ranks: ranks!,
    margin,
    relativeMargin,
    language: language!,
  });
  if (/\.(gz|zst)$/.test(flags.output))
    throw invalidArgument(
      '--output',
      'a name without .gz or .zst, as lines are written as they are,',
      flags.output,
    );
  if (existsSync(flags.output) && !flags.overwrite) {
    throw new XlembedError(
      'FILE_EXISTS',
      `${flags.output} exists`,
      'name another --output, or give --overwrite',
    );
  }
  await requireWritable(flags.output);
  const read = await readRecords(flags.data, { onMalformed: flags.skipMalformed ? 'skip' : 'fail' });
  const { device, maxTokens } = flags;
  const encoder = await Encoder.load(await modelFolder(flags, console), { device, maxTokens });
  const languages = languagesOf(read.records).filter(
    (tag) => (flags.languages?.includes(tag) ?? true) && !isHeldOut(tag, flags.holdOut ?? []),
  );
  const { model, data } = flags;
  const { similarity, maxTokens: longest } = encoder.model;
  const settings = { model, data, ...options, languages, similarity, maxTokens: longest };
  console.info(`settings\n${settingsLines(settings)}`);
  if (read.counts.skipped > 0) console.info(`note: ${read.counts.skipped} malformed lines left out`);
  for (const note of heldOutNotes(flags.holdOut ?? [], read.records)) console.info(`note: ${note}`);
  const work = await Work.open(`${flags.output}.partial`, await fingerprint(settings, read.records, encoder));
  const pool = new CandidatePool(read.records, languages);
  const index = await work.index(encoder, pool, console);
  const result = await writeMined(flags, work, read.records, encoder, pool, index, options, console);
  index.dispose();
  await encoder.dispose();
  const { records, negatives: found, without, tooNear, earlierRecords, interrupted } = result;
  const counted = `${found} negatives for ${records} records; ${without} positives without one; ${tooNear} passages too near`;
  const earlier = earlierRecords > 0 ? `; ${earlierRecords} records from an earlier run` : '';
  const end = interrupted ? 'interrupted; the same command goes on' : flags.output;
  console.result(`${counted}${earlier}; ${end}`, {
    output: flags.output,
    passages: pool.candidates.length,
    ...result,
  });
}

interface Mined extends MiningCounts {
  /** Found by an interrupted run: the other counts are without them. */
  earlierRecords: number;
  interrupted: boolean;
}

async function writeMined(
  flags: MineFlags,
  work: Work,
  records: readonly ParallelRecord[],
  encoder: Encoder,
  pool: CandidatePool,
  index: FlatIndex,
  options: ReturnType<typeof resolveMiningOptions>,
  console: Console,
): Promise<Mined> {
  const counts: MiningCounts = { records: 0, negatives: 0, without: 0, tooNear: 0 };
  const progress = console.progress('mining', records.length);
  using interrupt = new Interrupt('the record');
  const from = await work.written();
  if (from > 0) console.info(`${from} records are there from an interrupted run`);
  const output = await open(work.records, 'a').catch((cause) => {
    throw writeError(work.records, cause);
  });
  try {
    for await (const record of mineNegatives(encoder, records, pool, index, options, counts, from)) {
      // A teacher's scores are of other negatives.
      const { positiveId, positiveScores: _own, negativeScores: _others, ...fields } = record;
      const line = { ...fields, ...(positiveId !== undefined && { positive_id: positiveId }) };
      await output.appendFile(`${JSON.stringify(line)}\n`).catch((cause) => {
        throw writeError(work.records, cause);
      });
      progress.update(from + counts.records);
      if (interrupt.exitCode === undefined) continue;
      process.exitCode = interrupt.exitCode;
      await work.leave();
      return { ...counts, earlierRecords: from, interrupted: true };
    }
    await syncFile(output);
  } finally {
    progress.stop();
    await output.close();
  }
  await work.finish(flags.output);
  return { ...counts, earlierRecords: from, interrupted: false };
}

/** What decides the result: version, settings, records, the tokenizer, and the model by the embedding that it gives a text. */
async function fingerprint(
  settings: object,
  records: readonly ParallelRecord[],
  encoder: Encoder,
): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify([packageVersion(), settings]));
  for (const record of records) hash.update(`${JSON.stringify(record)}\n`);
  for (const path of tokenizerFilesOf(encoder.model.tokenizerPath)) hash.update(readFileSync(path));
  const { data } = await encoder.encode(['What makes a model the same?'], { role: 'query' });
  return hash.update(new Uint8Array(data.buffer)).digest('hex');
}

/** The folder of a run under way: passages embedded and records written so far, which the same command takes up again. */
class Work {
  private constructor(
    private readonly folder: string,
    private readonly lock: RunLock,
  ) {}

  get records(): string {
    return join(this.folder, 'records.jsonl');
  }

  /** What a run of other settings or data has left goes. Throws FILE_EXISTS while one is at work, FILE_WRITE_FAILED. */
  static async open(folder: string, fingerprint: string): Promise<Work> {
    const path = join(folder, 'fingerprint');
    const lock = new RunLock(folder, join(folder, 'lock'));
    try {
      await makeFolder(folder);
      await lock.take();
      if (!existsSync(path) || readFileSync(path, 'utf8') !== fingerprint) {
        await lock.clear();
        await writeFile(path, fingerprint);
      }
    } catch (cause) {
      throw writeError(folder, cause);
    }
    return new Work(folder, lock);
  }

  /** Lets another run go on. */
  async leave(): Promise<void> {
    await this.lock.release();
  }

  async index(encoder: Encoder, pool: CandidatePool, console: Console): Promise<FlatIndex> {
    const { device, dimensions } = encoder;
    const index = FlatIndex.create({ dimensions, device });
    const progress = console.progress('embedding passages', pool.candidates.length);
    await indexCandidates(this.#keeping(encoder), pool, index, (done) => progress.update(done));
    progress.stop();
    return index;
  }

  /** Embeds what is not there from an interrupted run. */
  #keeping(encoder: Encoder): Embedder {
    const passages = join(this.folder, 'passages');
    return {
      model: encoder.model,
      encode: (texts, options) =>
        cachedEmbed((piece) => encoder.encode(piece, options), passages, '')([...texts], options?.role),
    };
  }

  /** Number of whole lines; one that a kill has cut short goes. */
  async written(): Promise<number> {
    if (!existsSync(this.records)) return 0;
    const bytes = readFileSync(this.records);
    await truncate(this.records, bytes.lastIndexOf('\n') + 1);
    return bytes.reduce((lines, byte) => lines + (byte === 0x0a ? 1 : 0), 0);
  }

  async finish(output: string): Promise<void> {
    try {
      await makeFolder(dirname(output));
      await rename(this.records, output);
      await rm(this.folder, { recursive: true });
    } catch (cause) {
      throw writeError(output, cause);
    }
  }
}
