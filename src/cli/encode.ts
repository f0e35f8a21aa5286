import { join, resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { type TextFormatName, textFormatNames } from '../datasets/text_formats.js';
import { TextInput } from '../datasets/texts.js';
import type { CorpusFigures } from '../encoding/corpus/figures.js';
import { findLance, writeLanceTable } from '../encoding/corpus/lance_table.js';
import type { CorpusManifest } from '../encoding/corpus/manifest.js';
import { ROWS_PER_SHARD, readsStdin } from '../encoding/corpus/options.js';
import type { Precision } from '../encoding/corpus/precision.js';
import { type ShardFormatName, shardFormatNames } from '../encoding/corpus/shard_format.js';
import { Encoder } from '../encoding/encoder.js';
import { invalidArgument } from '../errors.js';
import type { Role } from '../models/prompts.js';
import type { EncoderDtype } from '../native.js';
import { readLaunch } from '../processes/launch.js';
import { buildFaissIndex } from '../search/build_faiss.js';
import { FaissIndex, requireFactory } from '../search/faiss_index.js';
import { positiveInteger } from './arguments.js';
import { faissProgressLine } from './build_index.js';
import { type Console, createConsole, settingsLines } from './console.js';
import { Interrupt } from './interrupt.js';
import { dtypeOption, type ModelFlags, modelFolder, withModel } from './model_option.js';

interface EncodeFlags extends ModelFlags {
  input: string[];
  inputFormat?: TextFormatName;
  idColumn?: string;
  textColumn?: string[];
  malformed: 'fail' | 'skip';
  duplicates: 'fail' | 'count';
  output: string;
  format: ShardFormatName;
  precision: Precision;
  dimensions?: number;
  normalize?: boolean;
  rowsPerShard: number;
  role?: Role;
  prompt?: string;
  maxTokens?: number;
  tokenBudget?: number;
  tokenizerThreads?: number;
  device: string;
  dtype: EncoderDtype;
  faiss?: string;
  lancedb?: string;
  table: string;
  resume?: boolean;
  overwrite?: boolean;
  texts: boolean;
  json?: boolean;
}

export function addEncode(program: Command): void {
  withModel(program.command('encode'))
    .description('Embed the texts of files of any size')
    .requiredOption(
      '--input <file...>',
      `.txt (one text a line), .jsonl, .csv, .tsv, each also .gz or .zst; .parquet; globs; BEIR folders; - for stdin`,
    )
    .addOption(
      new Option('--input-format <name>', 'of the input (default: by its extension)').choices(
        textFormatNames,
      ),
    )
    .option('--id-column <name>', 'column of ids (default: id or _id, else the line number)')
    .option('--text-column <name...>', 'columns of the text, joined by a space (default: text)')
    .addOption(
      new Option('--malformed <policy>', 'of malformed lines').choices(['fail', 'skip']).default('fail'),
    )
    .addOption(
      new Option('--duplicates <policy>', 'of ids that occur again; with count the result cannot be searched')
        .choices(['fail', 'count'])
        .default('fail'),
    )
    .requiredOption('--output <dir>', 'gets shards of embeddings, their ids, and manifest.json at the end')
    .addOption(new Option('--format <name>', 'of the embeddings').choices(shardFormatNames).default('npy'))
    .addOption(
      new Option('--precision <name>', 'of the stored values')
        .choices(['float32', 'float16', 'int8', 'binary'])
        .default('float32'),
    )
    .option('--dimensions <n>', 'first values kept of each embedding (Matryoshka)', positiveInteger)
    .option('--normalize', 'scale embeddings to length 1 (default: only where the model does so)')
    .option('--rows-per-shard <n>', 'input rows in one output file', positiveInteger, ROWS_PER_SHARD)
    .addOption(
      new Option(
        '--role <role>',
        "apply the model's prompt for it (default: its default prompt, if any)",
      ).choices(['query', 'passage']),
    )
    .option('--prompt <text>', 'put before each text instead')
    .option('--max-tokens <n>', 'tokens kept of each text (default: what the model takes)', positiveInteger)
    .option('--token-budget <n>', 'tokens in one batch (default: 8192, on a GPU 32768)', positiveInteger)
    .option('--tokenizer-threads <n>', 'default: one for each processor', positiveInteger)
    .option('--device <name>', 'cpu, cuda or cuda:N', 'cpu')
    .addOption(dtypeOption())
    .option(
      '--faiss <factory>',
      'build a FAISS index too, in the folder faiss of the output: IVF4096,PQ32, HNSW32, ..',
    )
    .option(
      '--lancedb <uri>',
      'copy the result into a LanceDB table too, outside of the output (needs: npm install @lancedb/lancedb)',
    )
    .option('--table <name>', 'of the LanceDB table; replaced if it is there', 'embeddings')
    .option('--resume', 'go on with an interrupted run in the output folder')
    .option('--overwrite', 'replace the output folder')
    .option('--no-texts', 'do not keep the texts beside their ids')
    .option('--json', 'print the result as JSON')
    .action(encode);
}

async function encode(flags: EncodeFlags): Promise<void> {
  const console = createConsole(flags);
  if (flags.faiss !== undefined) requireFactory(flags.faiss);
  requireLengths(flags);
  requireDistinctIds(flags);
  requireTableApart(flags);
  if (flags.lancedb) findLance();
  const input = await TextInput.open(flags.input, {
    format: flags.inputFormat,
    idColumn: flags.idColumn,
    textColumns: flags.textColumn,
    onMalformed: flags.malformed,
    role: flags.role,
  });
  const { device, dtype, maxTokens, tokenizerThreads } = flags;
  const encoder = await Encoder.load(await modelFolder(flags, console), {
    device,
    dtype,
    maxTokens,
    tokenizerThreads,
  });
  if (flags.faiss !== undefined) await requireFit(flags.faiss, flags.dimensions ?? encoder.dimensions);
  const prompt = encoder.promptOf(flags);
  console.info(`settings\n${settingsLines({ ...flags, prompt, maxTokens: encoder.model.maxTokens })}`);
  for (const note of encoder.model.notes) console.info(`note: ${note}`);
  using interrupt = new Interrupt('the shard');
  const status = console.status();
  const manifest = await encoder.encodeCorpus(input, flags.output, {
    role: flags.role,
    prompt: flags.prompt,
    tokenBudget: flags.tokenBudget,
    format: flags.format,
    precision: flags.precision,
    dimensions: flags.dimensions,
    normalize: flags.normalize,
    rowsPerShard: flags.rowsPerShard,
    keepTexts: flags.texts,
    resume: flags.resume,
    overwrite: flags.overwrite,
    duplicates: flags.duplicates,
    signal: interrupt.signal,
    onProgress: (figures) => status.update(() => progressLine(figures)),
    onNote: (note) => console.info(`note: ${note}`),
  });
  status.stop();
  await encoder.dispose();
  const isLeader = (readLaunch()?.rank ?? 0) === 0;
  const copied = !manifest.complete || !isLeader || (await copy(flags, manifest, console, interrupt.signal));
  // Rank 0 speaks for all, as in training.
  if (isLeader) console.result(resultLine(flags.output, manifest), { output: flags.output, ...manifest });
  if (!manifest.complete || !copied) process.exitCode = interrupt.exitCode ?? 1;
}

/** A table and an index are made of the complete folder; false when that was interrupted. */
async function copy(
  flags: EncodeFlags,
  manifest: CorpusManifest,
  console: Console,
  signal: AbortSignal,
): Promise<boolean> {
  const { output, lancedb, table, faiss, resume } = flags;
  if (lancedb) {
    console.info(`writing the LanceDB table ${table} at ${lancedb}`);
    const rows = await writeLanceTable(output, lancedb, table, { overwrite: true });
    if (rows === 0) console.info('note: without embeddings there is no table');
  }
  if (faiss === undefined) return true;
  if (manifest.rows === 0) {
    console.info('note: without embeddings there is no index');
    return true;
  }
  const status = console.status();
  const index = await buildFaissIndex(output, join(output, 'faiss'), {
    ...{ factory: faiss, resume, signal },
    onProgress: (progress) => status.update(() => faissProgressLine(progress)),
  });
  status.stop();
  if (!index.complete) console.info('the index was interrupted: go on with --resume');
  return index.complete;
}

/** Sign bits have neither lengths nor inner products for an index or a table to work with. */
function requireLengths({ precision, faiss, lancedb }: EncodeFlags): void {
  const wants = faiss !== undefined ? '--faiss' : lancedb !== undefined ? '--lancedb' : undefined;
  if (precision !== 'binary' || wants === undefined) return;
  throw invalidArgument('--precision', `float32, float16 or int8 with ${wants}`, precision);
}

/** An index names each vector once. */
function requireDistinctIds({ duplicates, faiss }: EncodeFlags): void {
  if (faiss === undefined || duplicates === 'fail') return;
  throw invalidArgument('--duplicates', 'fail with --faiss, as an index names each vector once,', duplicates);
}

/** A folder of embeddings holds nothing else: --overwrite would refuse it. */
function requireTableApart({ lancedb, output }: EncodeFlags): void {
  if (lancedb === undefined || lancedb.includes('://')) return;
  if (!`${resolve(lancedb)}/`.startsWith(`${resolve(output)}/`)) return;
  throw invalidArgument('--lancedb', 'a place outside of the output folder', lancedb);
}

/** FAISS says whether a factory suits the dimensions when it makes an index. */
async function requireFit(factory: string, dimensions: number): Promise<void> {
  (await FaissIndex.create({ dimensions, factory })).dispose();
}

function progressLine(figures: CorpusFigures): string {
  const { documents, documentsPerSecond, tokensPerSecond, realTokenShare, truncated } = figures;
  const { encoderBusy, queues, secondsLeft, bottleneck } = figures;
  const fill = Object.entries(queues).map(([name, { fill, capacity }]) => `${name} ${fill}/${capacity}`);
  const percent = (share: number) => `${(100 * share).toFixed(0)} %`;
  return [
    `encoding ${documents} texts`,
    `${documentsPerSecond.toFixed(0)} texts/s`,
    `${tokensPerSecond.toFixed(0)} tokens/s, ${percent(realTokenShare)} of texts`,
    ...(truncated > 0 ? [`${truncated} truncated`] : []),
    `encoder busy ${percent(encoderBusy)}`,
    fill.join(', '),
    `waiting for: ${bottleneck}`,
    ...(secondsLeft === undefined ? [] : [`${duration(secondsLeft)} left`]),
  ].join(' | ');
}

function duration(seconds: number): string {
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  const rest = String(Math.round(seconds) % 60).padStart(2, '0');
  return hours > 0 ? `${hours}:${String(minutes).padStart(2, '0')}:${rest}` : `${minutes}:${rest}`;
}

function resultLine(output: string, manifest: CorpusManifest): string {
  const { rows, dimensions, truncated, empty, replacedSurrogates, skippedLines, duplicateIds } = manifest;
  const odd = { truncated, empty, replacedSurrogates, skippedLines, duplicateIds };
  const counted = Object.entries(odd).filter(([, count]) => count > 0);
  const oddities = counted.map(([name, count]) => `, ${count} ${name}`).join('');
  const { seconds, encoderBusy } = manifest.figures;
  const took = `${seconds.toFixed(1)} s, encoder busy ${(100 * encoderBusy).toFixed(0)} %`;
  const text = `${rows} embeddings of ${dimensions} dimensions in ${output} (${took}${oddities})`;
  if (manifest.complete) return text;
  const remedy = readsStdin(manifest) ? 'start again with --overwrite' : 'go on with --resume';
  return `interrupted: ${text}; ${remedy}`;
}
