import { type Command, Option } from 'commander';
import { type EmbeddingsFolder, openEmbeddingsFolder } from '../encoding/embeddings_folder.js';
import { FaissIndex } from '../search/faiss_index.js';
import { positiveInteger } from './arguments.js';
import { createConsole } from './console.js';

interface IndexFlags {
  input: string;
  output: string;
  factory: string;
  metric: 'inner_product' | 'l2';
  trainingRows: number;
  overwrite?: boolean;
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
    .option('--training-rows <n>', 'rows that the index learns from, at most', positiveInteger, 2 ** 18)
    .option('--overwrite', 'replace the output folder')
    .option('--json', 'print the result as JSON')
    .action(buildIndex);
}

async function buildIndex(flags: IndexFlags): Promise<void> {
  const console = createConsole(flags);
  const begun = performance.now();
  const folder = await openEmbeddingsFolder(flags.input);
  const { rows, dimensions, ids } = folder;
  const { factory, metric } = flags;
  const index = await FaissIndex.create({ dimensions, factory, metric });
  if (!index.trained) {
    const examples = await sample(folder, flags.trainingRows);
    console.info(`training on ${examples.length / dimensions} of ${rows} embeddings`);
    await index.train(examples);
  }
  for await (const piece of folder.pieces()) {
    const row = index.size;
    await index.add(piece, ids.slice(row, row + piece.length / dimensions));
    console.info(`adding ${index.size} of ${rows} embeddings`);
  }
  await index.save(flags.output, { overwrite: flags.overwrite ?? false, texts: textsById(folder) });
  index.dispose();
  const seconds = (performance.now() - begun) / 1000;
  console.result(`${factory} index of ${rows} embeddings in ${flags.output} (${seconds.toFixed(1)} s)`, {
    ...{ output: flags.output, factory, metric, rows, dimensions, seconds },
  });
}

/** Rows at even distances, `most` of them or fewer: (rows, D). */
async function sample(folder: EmbeddingsFolder, most: number): Promise<Float32Array> {
  const { rows, dimensions } = folder;
  const step = Math.ceil(rows / most);
  const taken = new Float32Array(Math.ceil(rows / step) * dimensions);
  let row = 0;
  for await (const piece of folder.pieces()) {
    for (let at = 0; at < piece.length; at += dimensions, row++) {
      if (row % step === 0)
        taken.set(piece.subarray(at, at + dimensions), Math.floor(row / step) * dimensions);
    }
  }
  return taken;
}

function textsById({ ids, texts }: EmbeddingsFolder): Map<string, string> | undefined {
  if (!texts) return undefined;
  const named = new Map<string, string>();
  for (const [row, text] of texts.entries()) if (text !== undefined) named.set(ids[row]!, text);
  return named;
}
