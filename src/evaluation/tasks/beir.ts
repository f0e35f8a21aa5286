import { basename, join, resolve } from 'node:path';
import { readBeirQrels } from '../trec_files.js';
import { jsonCollection } from './collection.js';
import { findFile, readJsonLines, textOf } from './data_files.js';
import type { TaskEntry } from './entry.js';
import type { Collection, CollectionTask, TaskText } from './task.js';

/** Any folder in BEIR's layout (Thakur et al., arXiv 2104.08663), its test split; the language counts as English. */
async function openBeir(folder: string): Promise<CollectionTask> {
  const collection = await openCollection(folder);
  const name = basename(resolve(folder)).toLowerCase().replaceAll('-', '_');
  return { kind: 'collection', name, languages: ['en'], open: async () => collection };
}

async function openCollection(folder: string): Promise<Collection> {
  // Of a query that comes again the last text counts, as for BEIR.
  const queries = new Map<string, TaskText>();
  for await (const line of readJsonLines(await findFile(folder, ['queries.jsonl', 'queries.jsonl.gz']))) {
    const id = textOf(line, '_id');
    queries.set(id, { id, text: textOf(line, 'text') });
  }
  return jsonCollection({
    queries: [...queries.values()],
    qrels: await readBeirQrels(await findFile(join(folder, 'qrels'), ['test.tsv', 'test.tsv.gz'])),
    files: [await findFile(folder, ['corpus.jsonl', 'corpus.jsonl.gz'])],
    id: '_id',
    ignoreOwnId: true,
  });
}

export const beir: TaskEntry<CollectionTask> = {
  name: 'beir',
  title: 'find passages, in any folder with the layout of BEIR',
  source: 'github.com/beir-cellar/beir; licences differ by data set',
  download:
    'curl -LO https://public.ukp.informatik.tu-darmstadt.de/thakur/BEIR/datasets/scifact.zip && unzip scifact.zip',
  layout: 'corpus.jsonl, queries.jsonl and qrels/test.tsv',
  open: openBeir,
};
