import { join } from 'node:path';
import { readTrecQrels } from '../trec_files.js';
import { jsonCollection } from './collection.js';
import { findFile, listFolder } from './data_files.js';
import type { TaskEntry } from './entry.js';
import { taskDataInvalid } from './squad_sentences.js';
import type { Collection, CollectionTask } from './task.js';
import { readTopics } from './topics.js';

/** Mr. TyDi names its languages; test queries and passages as published (Zhang et al., arXiv 2108.08787, table 1). */
const published: Record<string, readonly [name: string, queries: number, passages: number]> = {
  ar: ['arabic', 1081, 2_106_586],
  bn: ['bengali', 111, 304_059],
  en: ['english', 744, 32_907_100],
  fi: ['finnish', 1254, 1_908_757],
  id: ['indonesian', 829, 1_469_399],
  ja: ['japanese', 720, 7_000_027],
  ko: ['korean', 421, 1_496_126],
  ru: ['russian', 995, 9_597_504],
  sw: ['swahili', 670, 136_689],
  te: ['telugu', 646, 548_224],
  th: ['thai', 1190, 568_855],
};

const folderOf = (language: string) => `mrtydi-v1.1-${published[language]![0]}`;

/** Mr. TyDi's test queries: retrieval in the Wikipedia of each of 11 languages. */
async function openMrTydi(folder: string): Promise<CollectionTask> {
  const names = await listFolder(folder);
  const languages = Object.keys(published).filter((language) => names.includes(folderOf(language)));
  if (languages.length === 0) throw taskDataInvalid(folder, 'mrtydi-v1.1-<language>', 'no such folder');
  return {
    kind: 'collection',
    name: 'mr_tydi',
    languages,
    open: (language) => openLanguage(folder, language),
  };
}

async function openLanguage(folder: string, language: string): Promise<Collection> {
  const inner = join(folder, folderOf(language));
  const judgements = join(inner, 'ir-format-data');
  return jsonCollection({
    queries: await readTopics(await findFile(judgements, ['topics.test.txt']), published[language]![1]),
    qrels: await readTrecQrels(await findFile(judgements, ['qrels.test.txt'])),
    files: [await findFile(inner, ['corpus.jsonl.gz', 'corpus.jsonl'])],
    id: 'docid',
    published: published[language]![2],
  });
}

export const mrTydi: TaskEntry<CollectionTask> = {
  name: 'mr_tydi',
  title: 'find passages of Wikipedia; 11 languages, one collection each',
  source: 'castorini/mr-tydi and castorini/mr-tydi-corpus on the Hugging Face hub, Apache-2.0',
  download:
    "hf download castorini/mr-tydi --repo-type dataset --local-dir mr-tydi --include '*-swahili/*' && " +
    "hf download castorini/mr-tydi-corpus --repo-type dataset --local-dir mr-tydi --include '*-swahili/*'",
  layout: 'mr-tydi: mrtydi-v1.1-<language>/ir-format-data/ and mrtydi-v1.1-<language>/corpus.jsonl.gz',
  mteb: { task: 'MrTidyRetrieval', split: 'test', subset: (language) => published[language]![0] },
  open: openMrTydi,
};
