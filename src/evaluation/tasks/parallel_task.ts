import { invalidArgument } from '../../errors.js';
import type { SentenceRetrieval } from './squad_sentences.js';
import type { RetrievalTask, TaskText } from './task.js';

/** A task from its languages, in their order: a sentence that answers a question answers it in every language. */
export function parallelTask(name: string, languages: ReadonlyMap<string, SentenceRetrieval>): RetrievalTask {
  const qrels = new Map<string, Map<string, number>>();
  for (const { answers } of languages.values()) {
    for (const [query, candidates] of answers) {
      const grades = qrels.get(query) ?? new Map<string, number>();
      for (const candidate of candidates) grades.set(candidate, 1);
      qrels.set(query, grades);
    }
  }
  const textsOf = (language: string, side: 'queries' | 'candidates'): TaskText[] => {
    const texts = languages.get(language)?.[side];
    if (!texts) throw invalidArgument('language', `one of ${[...languages.keys()].join(', ')}`, language);
    return texts;
  };
  return {
    kind: 'retrieval',
    name,
    languages: [...languages.keys()],
    queries: (language) => textsOf(language, 'queries'),
    candidates: (language) => textsOf(language, 'candidates'),
    qrels,
  };
}
