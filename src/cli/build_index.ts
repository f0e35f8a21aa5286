import { type Command, Option } from 'commander';
import { buildFaissIndex, type FaissBuildProgress, TRAINING_ROWS } from '../search/build_faiss.js';
import { positiveInteger } from './arguments.js';
import { createConsole } from './console.js';
import { Interrupt } from './interrupt.js';

interface IndexFlags {
  input: string;
  output: string;
  factory: string;
  metric: 'inner_product' | 'l2';
  trainingRows: number;
  overwrite?: boolean;
  resume?: boolean;
  json?: boolean;
}

export function addIndex(program: Command): void {
  program
    .command('index')
    .description('Build a FAISS index of embeddings, for approximate search')
    .requiredOption('--input <dir>', 'folder written by xlembed encode')
    .requiredOption('--factory <string>', 'what FAISS makes: IVF1024,PQ48x8, HNSW32, ..')
    .requiredOption('--output <dir>', 'gets index.faiss, which Python opens, and ids.jsonl')
    .addOption(
      new Option('--metric <name>', 'nearest by').choices(['inner_product', 'l2']).default('inner_product'),
    )
    .option('--training-rows <n>', 'rows that the index learns from, at most', positiveInteger, TRAINING_ROWS)
    .option('--overwrite', 'replace the index in the output folder')
    .option('--resume', 'go on with an interrupted build of the same index')
    .option('--json', 'print the result as JSON')
    .action(buildIndex);
}

async function buildIndex({ input, output, json, ...options }: IndexFlags): Promise<void> {
  const console = createConsole(json === undefined ? {} : { json });
  const begun = performance.now();
  using interrupt = new Interrupt('the piece');
  const status = console.status();
  const { complete, rows, dimensions } = await buildFaissIndex(input, output, {
    ...options,
    signal: interrupt.signal,
    onProgress: (progress) => status.update(() => faissProgressLine(progress)),
  });
  status.stop();
  const seconds = (performance.now() - begun) / 1000;
  const { factory, metric } = options;
  const text = `${factory} index of ${rows} embeddings in ${output} (${seconds.toFixed(1)} s)`;
  console.result(complete ? text : `interrupted: ${rows} embeddings are in; go on with --resume`, {
    ...{ output, complete, factory, metric, rows, dimensions, seconds },
  });
  if (!complete) process.exitCode = interrupt.exitCode ?? 1;
}

export function faissProgressLine({ stage, rows, total }: FaissBuildProgress): string {
  return stage === 'training'
    ? `reading examples for the index, ${rows} of ${total} embeddings`
    : `adding ${rows} of ${total} embeddings to the index`;
}
