import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { Command } from 'commander';
import { modelFilesOf } from '../encoding/corpus/options.js';
import { shortened } from '../encoding/corpus/precision.js';
import { openEmbeddingsFolder } from '../encoding/embeddings_folder.js';
import type { EmbeddingsOrigin } from '../encoding/embeddings_origin.js';
import { type Embeddings, Encoder } from '../encoding/encoder.js';
import { invalidArgument } from '../errors.js';
import { readFaissOrigin } from '../search/faiss_build_folder.js';
import { isFaissFolder, readLabelLines } from '../search/faiss_folder.js';
import { FaissIndex } from '../search/faiss_index.js';
import { FlatIndex } from '../search/flat_index.js';
import type { Vectors } from '../search/vectors.js';
import { namedNumbers, positiveInteger } from './arguments.js';
import { type Console, createConsole } from './console.js';
import { type ModelFlags, modelFolder, withModel } from './model_option.js';

interface SearchFlags extends ModelFlags {
  index: string;
  query: string[];
  queryPrompt?: string;
  k: number;
  device: string;
  memoryMap?: boolean;
  parameters?: Record<string, number>;
  json?: boolean;
}

/** What is searched, what made it, and the texts by id. */
interface Opened {
  index: FlatIndex | FaissIndex;
  origin: EmbeddingsOrigin | undefined;
  texts: Map<string, string | undefined>;
}

export function addSearch(program: Command): void {
  withModel(program.command('search'), 'the model that made the embeddings')
    .description('Find the passages nearest to a query: exactly, or with a FAISS index approximately')
    .requiredOption('--index <dir>', 'folder written by xlembed encode or xlembed index')
    .requiredOption('--query <text...>', 'one or more queries')
    .option('--query-prompt <text>', "before each query (default: the model's own)")
    .option('-k <n>', 'passages shown', positiveInteger, 10)
    .option('--device <name>', 'cpu, cuda or cuda:N', 'cpu')
    .option('--memory-map', 'leave the vectors in their file')
    .option('--parameters <list>', 'of a FAISS index: nprobe=16,efSearch=64', namedNumbers)
    .option('--json', 'print the result as JSON')
    .action(search);
}

async function search(flags: SearchFlags): Promise<void> {
  const console = createConsole(flags);
  const { index, origin, texts } = (await isFaissFolder(flags.index))
    ? await openFaiss(flags)
    : await openFlat(flags);
  const encoder = await Encoder.load(await modelFolder(flags, console), { device: flags.device });
  noteOtherModel(encoder, origin, console);
  noteLengths(encoder, origin, console);
  const queries = await encoder.encode(flags.query, {
    role: 'query',
    prompt: flags.queryPrompt,
    normalize: origin?.normalized,
  });
  const hits = await index.search(cut(queries, index.dimensions, origin), flags.k);
  index.dispose();
  await encoder.dispose();
  const results = flags.query.map((query, q) => ({
    query,
    hits: hits[q]!.map(({ id, score }, i) => ({ rank: i + 1, id, score, text: texts.get(id) })),
  }));
  const text = results.map(({ query, hits }) =>
    [
      query,
      ...hits.map((hit) =>
        `${String(hit.rank).padStart(4)}  ${hit.score.toFixed(4)}  ${hit.id}  ${hit.text ?? ''}`.trimEnd(),
      ),
    ].join('\n'),
  );
  console.result(text.join('\n\n'), results);
}

async function openFaiss({ index: folder, memoryMap = false, parameters }: SearchFlags): Promise<Opened> {
  const lines = await readLabelLines(join(folder, 'ids.jsonl'));
  const index = await FaissIndex.load(folder, { memoryMap });
  if (parameters) await index.setParameters(parameters);
  const origin = await readFaissOrigin(folder);
  return { index, origin, texts: new Map(lines.map(({ id, text }) => [id, text])) };
}

async function openFlat({
  index: folder,
  device,
  memoryMap = false,
  parameters,
}: SearchFlags): Promise<Opened> {
  if (parameters)
    throw invalidArgument('--parameters', 'a FAISS index', folder, 'build one with: xlembed index');
  const { origin, ids, texts } = await openEmbeddingsFolder(folder);
  const index = await FlatIndex.load(folder, { device, memoryMap });
  return { index, origin, texts: new Map(ids.map((id, row) => [id, texts?.[row]])) };
}

/** Two models of one width would give hits that mean nothing. */
function noteOtherModel({ model }: Encoder, origin: EmbeddingsOrigin | undefined, console: Console): void {
  if (!origin || isDeepStrictEqual(modelFilesOf(model), origin.modelFiles)) return;
  console.info(
    `note: these embeddings were made with the model files of ${origin.model}, and those of ${model.folder} have other names, sizes or times: hits mean something only if both are copies of one model`,
  );
}

/** Where the head does not normalise, as in LASER-2, the inner product is another order than the cosine's. */
function noteLengths({ model }: Encoder, origin: EmbeddingsOrigin | undefined, console: Console): void {
  if (!origin || origin.normalized || model.similarity === 'dot') return;
  console.info(
    'note: these embeddings are not scaled to length 1 and are compared as they are, while the model compares by cosine: xlembed encode --normalize scales them',
  );
}

/** Queries as the index wants them: cut where its vectors were. */
function cut(queries: Embeddings, dimensions: number, origin: EmbeddingsOrigin | undefined): Vectors {
  if (!origin || origin.modelDimensions !== queries.dimensions || dimensions === queries.dimensions)
    return queries;
  return shortened(queries.data, queries.dimensions, dimensions, origin.normalized);
}
