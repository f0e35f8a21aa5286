import { createHash } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import { type EncoderDtype, loadNative, nativeCall } from '../../native.js';
import type { BenchmarkResults } from '../../report/benchmark_results.js';
import { trainTokenizer } from '../../tokenizers/train.js';
import { positiveInteger } from '../arguments.js';
import { cacheFolder } from '../cache_folder.js';
import { createConsole } from '../console.js';
import { versions } from '../versions.js';
import { kernelPlan } from './cases.js';
import { type EncodeCase, measureEncoding } from './encode.js';
import { ENCODER_SHAPES, type EncoderShape, MAX_TOKENS, makeEncodeModel } from './encode_model.js';
import { ENCODE_PEERS, type EncodePeer, EncodePeers } from './encode_peers.js';
import {
  chooseTexts,
  longTexts,
  openTextSource,
  TEXT_SETS,
  type TextSet,
  type TextSource,
} from './encode_texts.js';
import { givenCommand, readResults, writeResults } from './results_file.js';
import { machineName, measureBounds } from './run.js';
import { boundsText, encodingText } from './table.js';

const DTYPES: EncoderDtype[] = ['float32', 'bfloat16', 'float16', 'int8'];
const dtypesOn = (device: string) =>
  DTYPES.filter((dtype) => dtype !== (device === 'cpu' ? 'float16' : 'int8'));
/** A GPU takes that many times the texts in the same time. */
const GPU_TEXTS = 64;

interface EncodeBenchFlags {
  shape: string[];
  texts: TextSet[];
  dtype?: EncoderDtype[];
  device: string;
  lengths?: number[];
  count?: number;
  rounds: number;
  threads?: number;
  xquadR?: string;
  tokenizer?: string;
  models?: string;
  peers?: EncodePeer[] | true;
  python?: string;
  output?: string;
  add?: boolean;
  json?: boolean;
}

export function addBenchEncode(bench: Command): void {
  const names = ENCODER_SHAPES.map(({ name }) => name);
  const several = (flags: string, about: string, all: readonly string[]) =>
    new Option(flags, about).choices(all).default([...all], all.join(' '));
  bench
    .command('encode')
    .description('Time embedding texts: whole calls, beside the same model in other libraries')
    .addOption(several('--shape <name...>', 'of the model, with random weights', names))
    .addOption(several('--texts <set...>', 'short, long, and half of each', TEXT_SETS))
    .addOption(
      new Option(
        '--dtype <type...>',
        'each beside peers in that type (default: all that the device has)',
      ).choices(DTYPES),
    )
    .option('--device <name>', 'cpu, cuda or cuda:N', 'cpu')
    .option('--lengths <n...>', 'texts of these many tokens instead of the sets', integers)
    .option('--count <n>', 'texts of a set (default: by the shape)', positiveInteger)
    .option('--rounds <n>', 'in which everything runs once, in turn', positiveInteger, 3)
    .option('--threads <n>', 'of the CPU', positiveInteger)
    .option(
      '--xquad-r <folder>',
      'take XQuAD-R questions and paragraphs (default: the Declaration of Human Rights)',
    )
    .option('--tokenizer <file>', "XLM-R's tokenizer.json (default: one trained on the texts)")
    .option('--models <folder>', 'keeps the models that are made (default: in the cache)')
    .addOption(
      new Option(
        '--peers [name...]',
        'time these beside, each installed into an environment of its own',
      ).choices(ENCODE_PEERS),
    )
    .option(
      '--python <path>',
      'with --peers: a Python that has what bench/peers/encode_requirements.txt lists',
    )
    .option('--output <file>', 'write the results as JSON')
    .option('--add', 'keep what the file of --output has of other cases')
    .option('--json', 'print the results as JSON')
    .action(encode);
}

const integers = (text: string, before: number[] | undefined): number[] => [
  ...(before ?? []),
  positiveInteger(text),
];

async function encode(flags: EncodeBenchFlags): Promise<void> {
  const console = createConsole(flags);
  const { threads, device, output, rounds } = flags;
  if (threads) await nativeCall(() => loadNative().setThreads(threads));
  const earlier = flags.add && output ? await readResults(output) : null;
  const results = await startResults(device);
  const names = flags.peers === true ? [...ENCODE_PEERS] : (flags.peers ?? []);
  using peers =
    names.length > 0
      ? await EncodePeers.open(names, flags.python, loadNative().info().threads, device, console)
      : null;
  Object.assign(results.versions, await peers?.versions());
  const source = await openTextSource(flags.xquadR);
  const models = flags.models ?? join(cacheFolder(), 'bench-models');
  const tokenizer = flags.tokenizer ?? (await ownTokenizer(source, models));
  // Models of another tokenizer have other sizes.
  const folder = join(
    models,
    createHash('sha256')
      .update(await readFile(tokenizer))
      .digest('hex')
      .slice(0, 12),
  );
  console.info(boundsText(results.bounds));
  for (const shape of ENCODER_SHAPES.filter(({ name }) => flags.shape.includes(name))) {
    const model = await makeEncodeModel(shape, tokenizer, folder);
    await peers?.exportOnnx(model);
    for (const one of casesOf(shape, source, flags)) {
      const result = await measureEncoding(one, { folder: model, device, rounds, peers });
      console.info(encodingText(result));
      results.cases.push(result);
      results.loadAfter = load();
      // After every case: a run that is ended leaves what it has measured.
      if (output) await writeResults(output, earlier, results);
    }
  }
  const text = [boundsText(results.bounds), ...results.cases.map(encodingText)].join('\n');
  console.result(text, results);
}

const load = () => Number(loadavg()[0]!.toFixed(2));

/** Everything but the cases. */
async function startResults(device: string): Promise<BenchmarkResults> {
  const loadBefore = load();
  const plan = kernelPlan(device, device === 'cpu');
  return {
    createdAt: new Date().toISOString(),
    command: givenCommand(),
    ...{ machine: await machineName(plan, device), device, quick: false },
    ...{ threads: loadNative().info().threads, loadBefore, loadAfter: loadBefore },
    versions: versions(),
    bounds: await measureBounds(plan, device, true),
    ...{ cases: [], failures: [] },
  };
}

function casesOf(shape: EncoderShape, source: TextSource, flags: EncodeBenchFlags): EncodeCase[] {
  const { threads } = loadNative().info();
  const texts = flags.count ?? shape.texts * (flags.device === 'cpu' ? 1 : GPU_TEXTS);
  const common = { encoder: shape, maxTokens: MAX_TOKENS };
  return (flags.dtype ?? dtypesOn(flags.device)).flatMap((dtype): EncodeCase[] =>
    flags.lengths
      ? flags.lengths.map((length) => ({
          ...{ ...common, op: `encode ${shape.name}, one length`, dtype, shape: { texts, threads, length } },
          ...{ texts: longTexts(source, texts), maxTokens: length },
        }))
      : flags.texts.map((set) => ({
          ...{ ...common, op: `encode ${shape.name}, ${set}`, dtype, shape: { texts, threads } },
          texts: chooseTexts(source, set, texts),
        })),
  );
}

/** Trained on all texts; the same bytes on each run. */
async function ownTokenizer({ name, questions, passages }: TextSource, folder: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  const path = join(folder, `tokenizer-${name}.json`);
  await trainTokenizer([...questions, ...passages], path);
  return path;
}
