import type { TaskEntry } from './entry.js';
import { findLanguageFiles, readUtf8 } from './language_files.js';
import { parallelTask } from './parallel_task.js';
import { parseSentenceRetrieval, type SentenceRetrieval, taskDataInvalid } from './squad_sentences.js';
import type { RetrievalTask } from './task.js';

/** Questions and candidates per language as published (google-research-datasets/lareqa, README). */
const published: Record<string, readonly [questions: number, candidates: number]> = {
  ar: [517, 2545],
  de: [512, 2362],
  en: [1148, 6264],
  es: [500, 1787],
  hi: [507, 2426],
  vi: [511, 2828],
  zh: [504, 2322],
};

/**
 * MLQA-R (Roy et al., arXiv 2004.05484): XQuAD-R's task in 7 languages, where a question is asked in two to four of
 * them. A setting counts the questions that have an answer in its passage language. Counts must be the published ones.
 */
async function openMlqaR(folder: string): Promise<RetrievalTask> {
  const languages = new Map<string, SentenceRetrieval>();
  for (const [language, path] of await findLanguageFiles(folder)) {
    const sentences = parseSentenceRetrieval(await readUtf8(path), language, path);
    const [questions, candidates] = published[language] ?? [];
    const received = [sentences.queries.length, sentences.candidates.length];
    if (questions !== undefined && (received[0] !== questions || received[1] !== candidates)) {
      const counts = `${received[0]} and ${received[1]}`;
      throw taskDataInvalid(path, `${questions} questions and ${candidates} sentences`, counts);
    }
    languages.set(language, sentences);
  }
  return parallelTask('mlqa_r', languages);
}

export const mlqaR: TaskEntry<RetrievalTask> = {
  name: 'mlqa_r',
  title: 'find the sentence that answers a question; 7 languages, 7 + 42 settings and the pool',
  source: 'github.com/google-research-datasets/lareqa, CC BY-NC 4.0',
  download: 'git clone --depth 1 https://github.com/google-research-datasets/lareqa',
  layout: 'lareqa/mlqa-dev-r: <language>.json or <language>.json.gz',
  open: openMlqaR,
};
