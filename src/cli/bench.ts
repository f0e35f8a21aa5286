import { type Command, InvalidArgumentError } from 'commander';
import { XlembedError } from '../errors.js';
import { writeTextBeside } from '../files/write_file.js';
import { loadNative, nativeCall } from '../native.js';
import type { BenchmarkResults } from '../report/benchmark_results.js';
import { renderRoofline } from '../report/roofline.js';
import { list, namedNumbers, positiveInteger } from './arguments.js';
import { opNames } from './bench/cases.js';
import { addBenchEncode } from './bench/encode_command.js';
import { peerPython } from './bench/python_peer.js';
import { readResults, writeResults } from './bench/results_file.js';
import { benchKernels } from './bench/run.js';
import { boundsText, caseText } from './bench/table.js';
import { addBenchTrain } from './bench/train_command.js';
import { createConsole, type Progress } from './console.js';

interface KernelFlags {
  only?: string[];
  shape?: Record<string, number>;
  quick?: boolean;
  add?: boolean;
  device: string;
  threads?: number;
  peers?: boolean;
  python?: string;
  /** True: the file named after the machine. */
  output?: string | true;
  json?: boolean;
}

export function addBench(program: Command): void {
  const bench = program
    .command('bench')
    .description('Measure speed beside peers and the machine’s own limits');
  bench
    .command('kernels')
    .description('Time the kernels: each op beside libtorch, on the same inputs, in turn')
    .option('--only <ops>', `some of ${opNames.join(', ')}`, opList)
    .option(
      '--shape <sizes>',
      'cases of these sizes, such as rows=1000000,k=10; any, for ops of --only',
      namedNumbers,
    )
    .option('--quick', 'small shapes, few rounds: seconds instead of minutes')
    .option('--device <name>', 'cpu, cuda or cuda:N', 'cpu')
    .option('--threads <n>', 'of the CPU', positiveInteger)
    .option('--peers', 'time faiss-cpu beside, in a Python environment of its own')
    .option('--python <path>', 'with --peers: a Python that has faiss-cpu and numpy')
    .option('--output [file]', 'write the results as JSON; default bench/results/<machine>.json')
    .option('--add', 'keep what the file of --output has of other cases')
    .option('--json', 'print the results as JSON')
    .action(kernels);
  addBenchTrain(bench);
  addBenchEncode(bench);
  bench
    .command('report')
    .description('Draw results as one HTML page: roofline and time by size')
    .argument('<results...>', 'files written by xlembed bench kernels or encode --output')
    .requiredOption('--output <file>', 'the page')
    .action(report);
}

function opList(text: string): string[] {
  const ops = list(text);
  if (ops.length > 0 && ops.every((op) => opNames.includes(op))) return ops;
  throw new InvalidArgumentError(`Expected some of ${opNames.join(', ')}.`);
}

/** `bench/results/amd-epyc-2-threads.json` */
function resultsPath({ machine, device, threads }: BenchmarkResults): string {
  const name = device === 'cpu' ? `${machine} ${threads} threads` : machine;
  return `bench/results/${name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '')}.json`;
}

async function kernels(flags: KernelFlags): Promise<void> {
  const console = createConsole(flags);
  const { threads, device, output } = flags;
  if (threads) await nativeCall(() => loadNative().setThreads(threads));
  let progress: Progress | undefined;
  let earlier: BenchmarkResults | null = null;
  const results = await benchKernels({
    ...{ device, only: flags.only ?? [], sizes: flags.shape ?? {}, quick: flags.quick ?? false },
    python: flags.peers ? peerPython('requirements.txt', flags.python, console) : null,
    onProgress: async (done, total, soFar) => {
      progress ??= console.progress('benchmarks', total);
      const last = soFar.cases.at(-1);
      progress.update(done, last && `${last.op} ${last.dtype}`);
      if (!output) return;
      const path = output === true ? resultsPath(soFar) : output;
      if (flags.add && done === 0) earlier = await readResults(path);
      // After every case: a run that is ended leaves what it has measured.
      await writeResults(path, earlier, soFar);
    },
  });
  progress?.stop();
  const failures = results.failures.map((failure) => `\n${failure.case}: ${failure.error}`);
  const text = [boundsText(results.bounds), ...results.cases.map(caseText), ...failures].join('\n');
  console.result(text, results);
  if (results.failures.length > 0) process.exitCode = 1;
}

async function report(paths: string[], { output }: { output: string }): Promise<void> {
  const runs = [];
  for (const path of paths) {
    const run = await readResults(path);
    if (!run) throw new XlembedError('FILE_NOT_FOUND', `${path} does not exist`);
    runs.push(run);
  }
  await writeTextBeside(output, await renderRoofline(runs));
  createConsole({}).result(`wrote ${output}`, { output });
}
