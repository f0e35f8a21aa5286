import { join } from 'node:path';
import { listFolder, readJsonLines, textOf } from './data_files.js';
import type { TaskEntry } from './entry.js';
import { parallelTask } from './parallel_task.js';
import { type SentenceRetrieval, taskDataInvalid } from './squad_sentences.js';
import type { RetrievalTask, TaskText } from './task.js';

const languageFile = /^([a-z]{3}_[A-Z][a-z]{3})\.jsonl(\.gz)?$/;
const publishedCounts = '900 questions on 488 passages';

/**
 * Belebele as retrieval (Bandarkar et al., arXiv 2308.16884): find the FLORES passage that a question was asked about,
 * parallel in 122 language variants.
 */
async function openBelebele(folder: string): Promise<RetrievalTask> {
  const languages = new Map<string, SentenceRetrieval>();
  for (const name of await listFolder(folder)) {
    const language = languageFile.exec(name)?.[1];
    if (language) languages.set(language, await readLanguage(join(folder, name), language));
  }
  if (languages.size === 0) throw taskDataInvalid(folder, '<language>.jsonl', 'no such file');
  return parallelTask('belebele', languages);
}

/**
 * A passage is named by its link, a question by the link and its number there: the same in every language. Where two
 * questions on a passage became one in translation, it is asked once, as in MTEB.
 */
async function readLanguage(path: string, language: string): Promise<SentenceRetrieval> {
  const queries: TaskText[] = [];
  const passages = new Map<string, TaskText>();
  const answers = new Map<string, Set<string>>();
  const asked = new Set<string>();
  for await (const line of readJsonLines(path)) {
    const link = textOf(line, 'link');
    const query = `${link}#${textOf(line, 'question_number')}`;
    const passage = `${link}@${language}`;
    if (answers.has(query)) throw taskDataInvalid(path, 'every question once', `${query} again`);
    passages.set(passage, { id: passage, text: textOf(line, 'flores_passage') });
    const text = textOf(line, 'question');
    const question = `${link}\n${text}`;
    if (!asked.has(question)) queries.push({ id: query, text });
    asked.add(question);
    answers.set(query, new Set([passage]));
  }
  const counts = `${answers.size} questions on ${passages.size} passages`;
  if (counts !== publishedCounts) throw taskDataInvalid(path, publishedCounts, counts);
  return { queries, candidates: [...passages.values()], answers };
}

export const belebele: TaskEntry<RetrievalTask> = {
  name: 'belebele',
  title: 'find the passage that a question is about; up to 122 language variants',
  source: 'facebook/belebele on the Hugging Face hub, CC BY-SA 4.0',
  download: 'hf download facebook/belebele --repo-type dataset --local-dir belebele',
  layout: 'belebele/data: <language>.jsonl, for example eng_Latn.jsonl',
  mteb: {
    task: 'BelebeleRetrieval',
    split: 'test',
    subset: (queryLanguage, passageLanguage) => `${passageLanguage}-${queryLanguage}`,
  },
  open: openBelebele,
};
