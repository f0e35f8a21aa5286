import { loadavg } from 'node:os';
import { type Command, Option } from 'commander';
import { XlembedError } from '../../errors.js';
import { requireWritable, writeTextBeside } from '../../files/write_file.js';
import { type Dtype, loadNative, nativeCall } from '../../native.js';
import { bfloat16Rate } from '../../report/benchmark_results.js';
import { positiveInteger } from '../arguments.js';
import { createConsole } from '../console.js';
import { versions } from '../versions.js';
import { kernelPlan } from './cases.js';
import { peerPython } from './python_peer.js';
import { givenCommand } from './results_file.js';
import { machineName, measureBounds } from './run.js';
import { boundsText } from './table.js';
import { benchTrain, GPU_TRAIN_CASES, MEMORY_CASE, TRAIN_CASES, type TrainResult } from './train.js';

interface TrainBenchFlags {
  batchSize?: number;
  device: string;
  precision?: Dtype;
  threads?: number;
  peers?: boolean;
  python?: string;
  output?: string;
  json?: boolean;
}

export function addBenchTrain(bench: Command): void {
  const sizes = TRAIN_CASES.map(({ batchSize }) => batchSize);
  bench
    .command('train')
    .description(
      'Time training steps: a 6 x 384 model on short queries with long passages; on a GPU XLM-R base on texts of 64 tokens',
    )
    .option(
      '--batch-size <pairs>',
      `one case: ${sizes}; ${MEMORY_CASE.batchSize}: memory of the gradient cache, short texts, no peer`,
      positiveInteger,
    )
    .option('--device <name>', 'cpu, cuda or cuda:N', 'cpu')
    .addOption(
      new Option(
        '--precision <type>',
        'of activations and products (default: float32, on a GPU bfloat16)',
      ).choices(['float32', 'bfloat16', 'float16']),
    )
    .option('--threads <n>', 'of the CPU', positiveInteger)
    .option('--peers', 'time sentence-transformers beside, in a Python environment of its own; on the CPU')
    .option('--python <path>', 'with --peers: a Python that has sentence-transformers')
    .option('--output <file>', 'write the results as JSON')
    .option('--json', 'print the results as JSON')
    .action(train);
}

async function train(flags: TrainBenchFlags): Promise<void> {
  const console = createConsole(flags);
  const { threads, device, batchSize } = flags;
  const isGpu = device !== 'cpu';
  if (isGpu && flags.peers) {
    throw new XlembedError('INVALID_ARGUMENT', 'the peer of training runs on the CPU', 'leave out --peers');
  }
  if (flags.output) await requireWritable(flags.output);
  if (threads) await nativeCall(() => loadNative().setThreads(threads));
  const usual = isGpu ? GPU_TRAIN_CASES : TRAIN_CASES;
  const all = [...usual, MEMORY_CASE];
  const cases = batchSize ? all.filter((one) => one.batchSize === batchSize) : usual;
  if (cases.length === 0) {
    const sizes = all.map((one) => one.batchSize).join(', ');
    throw new XlembedError(
      'INVALID_ARGUMENT',
      `there is no case of ${batchSize} pairs`,
      `choose of ${sizes}`,
    );
  }
  const python =
    flags.peers && !cases.some(({ memory }) => memory)
      ? peerPython('train_requirements.txt', flags.python, console)
      : null;
  const loadBefore = loadavg()[0]!;
  const plan = kernelPlan(device, !isGpu);
  const machine = await machineName(plan, device);
  const bounds = await measureBounds(plan, device, true);
  const precision = flags.precision ?? (isGpu ? 'bfloat16' : 'float32');
  const lines: string[] = [];
  let peerVersions = {};
  const results = await benchTrain({
    ...{ cases, device, precision, python },
    operationsPerSecond: precision === 'float32' ? bounds.float32OperationsPerSecond : bfloat16Rate(bounds),
    onPeer: (found) => {
      peerVersions = found;
    },
    onResult: (result) => {
      lines.push(trainLine(result));
      console.info(trainLine(result));
    },
  });
  const run = {
    createdAt: new Date().toISOString(),
    command: givenCommand(),
    ...{ machine, device, precision, threads: loadNative().info().threads },
    ...{ loadBefore, loadAfter: loadavg()[0]! },
    versions: { ...versions(), ...peerVersions },
    ...{ bounds, results },
  };
  if (flags.output) await writeTextBeside(flags.output, `${JSON.stringify(run, null, 2)}\n`);
  console.result([boundsText(bounds), ...lines].join('\n'), run);
}

const percent = (share: number) => `${(100 * share).toFixed(1)} %`;

function trainLine(result: TrainResult): string {
  const { model, batchSize, miniBatch, tokens, pairsPerSecond, peer } = result;
  return [
    `${model}, batch ${batchSize}${miniBatch > 0 ? ', cached' : ''}: ${pairsPerSecond.toFixed(1)} pairs/s`,
    `${((tokens / batchSize) * pairsPerSecond).toFixed(0)} tokens/s`,
    `${percent(result.boundShare)} of the products' rate`,
    `optimizer ${percent(result.optimizerShare)}, outside ${percent(result.outsideShare)}`,
    `peak memory ${(result.peakBytes / 2 ** 30).toFixed(2)} GiB`,
    ...(peer
      ? [
          `${peer.ratio.toFixed(2)} x sentence-transformers (${peer.pairsPerSecond.toFixed(1)} pairs/s, ${(peer.peakBytes / 2 ** 30).toFixed(2)} GiB, ${percent(result.padding)} padding, losses differ by ${result.lossDifference})`,
        ]
      : []),
  ].join('; ');
}
