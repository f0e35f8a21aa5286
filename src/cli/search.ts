import type { Command } from 'commander';
import { shortened } from '../encoding/corpus/precision.js';
import { openEmbeddingsFolder } from '../encoding/embeddings_folder.js';
import { Encoder } from '../encoding/encoder.js';
import { FlatIndex } from '../search/flat_index.js';
import { positiveInteger } from './arguments.js';
import { createConsole } from './console.js';
import { type ModelFlags, modelFolder, withModel } from './model_option.js';

interface SearchFlags extends ModelFlags {
  index: string;
  query: string[];
  k: number;
  device: string;
  json?: boolean;
}

export function addSearch(program: Command): void {
  withModel(program.command('search'), 'the model that made the embeddings')
    .description('Find the passages nearest to a query, exactly')
    .requiredOption('--index <dir>', 'folder written by xlembed encode')
    .requiredOption('--query <text...>', 'one or more queries; the query prompt of the model is applied')
    .option('-k <n>', 'passages shown', positiveInteger, 10)
    .option('--device <name>', 'cpu, cuda or cuda:N', 'cpu')
    .option('--json', 'print the result as JSON')
    .action(search);
}

async function search(flags: SearchFlags): Promise<void> {
  const console = createConsole(flags);
  const folder = await openEmbeddingsFolder(flags.index);
  const encoder = await Encoder.load(await modelFolder(flags, console), { device: flags.device });
  const index = FlatIndex.create({ dimensions: folder.dimensions, device: flags.device });
  let row = 0;
  for await (const piece of folder.pieces()) {
    const rows = piece.length / folder.dimensions;
    await index.add(piece, folder.ids.slice(row, row + rows));
    row += rows;
  }
  const encoded = await encoder.encode(flags.query, { role: 'query' });
  const { dimensions, modelDimensions, normalized } = folder;
  const cut = dimensions < modelDimensions && modelDimensions === encoder.dimensions;
  const queries = cut ? shortened(encoded.data, modelDimensions, dimensions, normalized) : encoded;
  const hits = await index.search(queries, flags.k);
  const rowOf = new Map(folder.ids.map((id, position) => [id, position]));
  const results = flags.query.map((query, q) => ({
    query,
    hits: hits[q]!.map(({ id, score }, rank) => ({
      rank: rank + 1,
      id,
      score,
      text: folder.texts?.[rowOf.get(id)!],
    })),
  }));
  index.dispose();
  await encoder.dispose();
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
