import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readTrecQrels } from '../trec_files.js';
import { jsonCollection } from './collection.js';
import { findFile, listFolder } from './data_files.js';
import type { TaskEntry } from './entry.js';
import { taskDataInvalid } from './squad_sentences.js';
import type { Collection, CollectionTask } from './task.js';
import { readTopics } from './topics.js';

/** Passages and dev queries as published (Zhang et al., arXiv 2210.09984, table 2, and the data set's card). */
const published: Record<string, readonly [passages: number, queries: number]> = {
  ar: [2_061_414, 2896],
  bn: [297_265, 411],
  de: [15_866_222, 305],
  en: [32_893_221, 799],
  es: [10_373_953, 648],
  fa: [2_207_172, 632],
  fi: [1_883_509, 1271],
  fr: [14_636_953, 343],
  hi: [506_264, 350],
  id: [1_446_315, 960],
  ja: [6_953_614, 860],
  ko: [1_486_752, 213],
  ru: [9_543_918, 1252],
  sw: [131_924, 482],
  te: [518_079, 828],
  th: [542_166, 733],
  yo: [49_043, 119],
  zh: [4_934_368, 393],
};

const corpusFolder = /^miracl-corpus-v1\.0-([a-z]{2})$/;

/** MIRACL's dev queries: retrieval in the Wikipedia of each of 18 languages. */
async function openMiracl(folder: string): Promise<CollectionTask> {
  const languages = (await listFolder(folder)).flatMap((name) => corpusFolder.exec(name)?.[1] ?? []);
  if (languages.length === 0)
    throw taskDataInvalid(folder, 'miracl-corpus-v1.0-<language>', 'no such folder');
  return {
    kind: 'collection',
    name: 'miracl',
    languages,
    open: (language) => openLanguage(folder, language),
  };
}

async function openLanguage(folder: string, language: string): Promise<Collection> {
  const [passages, queries] = published[language] ?? [];
  const topics = await findIn(folder, language, 'topics', `topics.miracl-v1.0-${language}-dev.tsv`);
  const qrels = await findIn(folder, language, 'qrels', `qrels.miracl-v1.0-${language}-dev.tsv`);
  const corpus = join(folder, `miracl-corpus-v1.0-${language}`);
  const files = (await listFolder(corpus)).filter((name) => /^docs-\d+\.jsonl(\.gz)?$/.test(name));
  const number = (name: string) => Number(/\d+/.exec(name)![0]);
  return jsonCollection({
    queries: await readTopics(topics, queries),
    qrels: await readTrecQrels(qrels),
    files: files.sort((a, b) => number(a) - number(b)).map((name) => join(corpus, name)),
    id: 'docid',
    published: passages,
  });
}

/** In the layout of the hub, or flat in the folder itself, as Anserini has them. */
async function findIn(folder: string, language: string, part: string, name: string): Promise<string> {
  const inner = join(folder, `miracl-v1.0-${language}`, part);
  return findFile(existsSync(inner) ? inner : folder, [name]);
}

export const miracl: TaskEntry<CollectionTask> = {
  name: 'miracl',
  title: 'find passages of Wikipedia; 18 languages, one collection each',
  source: 'miracl/miracl and miracl/miracl-corpus on the Hugging Face hub, Apache-2.0, passages CC BY-SA',
  download:
    'hf download miracl/miracl --repo-type dataset --local-dir miracl && ' +
    "hf download miracl/miracl-corpus --repo-type dataset --local-dir miracl --include '*-sw/*'",
  layout: 'miracl: miracl-v1.0-<language>/{topics,qrels}/ and miracl-corpus-v1.0-<language>/docs-*.jsonl.gz',
  mteb: { task: 'MIRACLRetrieval', split: 'dev' },
  open: openMiracl,
};
