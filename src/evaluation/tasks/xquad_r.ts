import type { TaskEntry } from './entry.js';
import { findLanguageFiles, readUtf8 } from './language_files.js';
import { parallelTask } from './parallel_task.js';
import { parseSentenceRetrieval, type SentenceRetrieval, taskDataInvalid } from './squad_sentences.js';
import type { RetrievalTask } from './task.js';

/** Candidates per language as published with XQuAD-R (google-research-datasets/lareqa, README). */
const publishedCandidates: Record<string, number> = {
  ar: 1222,
  de: 1276,
  el: 1234,
  en: 1180,
  es: 1215,
  hi: 1244,
  ru: 1219,
  th: 852,
  tr: 1167,
  vi: 1209,
  zh: 1196,
};
const publishedQueries = 1190;

/**
 * XQuAD-R (Roy et al., arXiv 2004.05484): find the sentence that answers a question, in 11 languages. Reads every
 * `<language>.json` and `<language>.json.gz` of a folder; when all 11 are there, their counts must be the published
 * ones. Throws FILE_NOT_FOUND, FILE_READ_FAILED, TASK_DATA_INVALID.
 */
async function openXquadR(folder: string): Promise<RetrievalTask> {
  const paths = await findLanguageFiles(folder);
  const languages = new Map<string, SentenceRetrieval>();
  for (const [language, path] of paths) {
    languages.set(language, parseSentenceRetrieval(await readUtf8(path), language, path));
  }
  checkParallel(languages, paths);
  if (Object.keys(publishedCandidates).every((language) => languages.has(language))) {
    checkPublishedCounts(languages, paths);
  }
  return parallelTask('xquad_r', languages);
}

/** Every question is asked in every language, else "cross-lingual" would average over different questions. */
function checkParallel(languages: Map<string, SentenceRetrieval>, paths: Map<string, string>): void {
  const [reference, ...others] = languages.keys();
  const expected = languages.get(reference!)!.answers;
  for (const language of others) {
    const { answers } = languages.get(language)!;
    const missing = [...expected.keys()].find((id) => !answers.has(id));
    const extra = [...answers.keys()].find((id) => !expected.has(id));
    if (missing === undefined && extra === undefined) continue;
    const received = missing === undefined ? `question ${extra} besides` : `none with id ${missing}`;
    throw taskDataInvalid(paths.get(language)!, `the questions of ${paths.get(reference!)}`, received);
  }
}

function checkPublishedCounts(languages: Map<string, SentenceRetrieval>, paths: Map<string, string>): void {
  for (const [language, candidates] of Object.entries(publishedCandidates)) {
    const received = languages.get(language)!;
    if (received.candidates.length === candidates && received.queries.length === publishedQueries) continue;
    throw taskDataInvalid(
      paths.get(language)!,
      `${publishedQueries} questions and ${candidates} sentences`,
      `${received.queries.length} and ${received.candidates.length}`,
    );
  }
}

export const xquadR: TaskEntry<RetrievalTask> = {
  name: 'xquad_r',
  title: 'find the sentence that answers a question; 11 languages, 11 + 110 settings and the pool',
  source: 'github.com/google-research-datasets/lareqa, CC BY-SA 4.0',
  download: 'git clone --depth 1 https://github.com/google-research-datasets/lareqa',
  layout: 'lareqa/xquad-r: <language>.json or <language>.json.gz',
  open: openXquadR,
};
