import { join } from 'node:path';
import { malformed } from '../../datasets/malformed.js';
import { type JsonLine, listFolder, readJsonLines, textOf } from './data_files.js';
import type { TaskEntry } from './entry.js';
import { parallelTask } from './parallel_task.js';
import { type SentenceRetrieval, taskDataInvalid } from './squad_sentences.js';
import type { RetrievalTask } from './task.js';

const wholeFile = /^mkqa\.jsonl(\.gz)?$/;
const languageFile = /^mkqa-([a-z]{2}(?:_[a-z]+)?)\.jsonl(\.gz)?$/;
const publishedQuestions = 10_000;

/**
 * MKQA (Longpre et al., arXiv 2007.15207): find the short answer to a question among the answers of a language. Reads
 * `mkqa.jsonl.gz` (26 languages) or the files `mkqa-<language>.jsonl` of the MIA 2022 shared task (12 languages).
 * Questions without a short answer are not asked. Equal questions of a language stay apart, since those of the other
 * languages may differ; MTEB merges them, so this is not its MKQARetrieval.
 */
async function openMkqa(folder: string): Promise<RetrievalTask> {
  const names = await listFolder(folder);
  const answers = new AnswerTable();
  const whole = names.find((name) => wholeFile.test(name));
  if (whole) await readWhole(join(folder, whole), answers);
  else await readLanguages(folder, names, answers);
  if (answers.languages.size === 0)
    throw taskDataInvalid(folder, 'mkqa.jsonl.gz or mkqa-<language>.jsonl', 'no such file');
  return parallelTask('mkqa', new Map([...answers.languages].sort(([a], [b]) => (a < b ? -1 : 1))));
}

/** Equal answers of a language are one candidate, which then answers several questions. */
class AnswerTable {
  readonly languages = new Map<string, SentenceRetrieval>();
  readonly #idOf = new Map<string, string>();

  add(language: string, id: string, question: string, answers: readonly string[]): void {
    const side: SentenceRetrieval = this.languages.get(language) ?? {
      queries: [],
      candidates: [],
      answers: new Map(),
    };
    this.languages.set(language, side);
    if (answers.length === 0) return;
    side.queries.push({ id, text: question });
    side.answers.set(id, new Set(answers.map((text) => this.#candidate(side, language, text))));
  }

  #candidate(side: SentenceRetrieval, language: string, text: string): string {
    const key = `${language}\n${text}`;
    const known = this.#idOf.get(key);
    if (known) return known;
    const id = `${language}-${side.candidates.length}`;
    this.#idOf.set(key, id);
    side.candidates.push({ id, text });
    return id;
  }
}

async function readWhole(path: string, table: AnswerTable): Promise<void> {
  let lines = 0;
  for await (const line of readJsonLines(path)) {
    lines += 1;
    // As published, a number of 19 digits: rounded as it is, it is the same in every language.
    const number = line.value.example_id;
    const id = typeof number === 'number' ? String(number) : textOf(line, 'example_id');
    const queries = objectOf(line, 'queries');
    const answers = objectOf(line, 'answers');
    for (const [language, question] of Object.entries(queries)) {
      table.add(language.replace('_', '-'), id, String(question), shortAnswers(answers[language]));
    }
  }
  if (lines !== publishedQuestions)
    throw taskDataInvalid(path, `${publishedQuestions} questions`, String(lines));
}

/** Of `[{type, text, ...}]` the texts; long answers and unanswerable questions have none. */
function shortAnswers(answers: unknown): string[] {
  if (!Array.isArray(answers)) return [];
  return answers.flatMap((answer: { text?: unknown }) =>
    typeof answer.text === 'string' && answer.text !== '' ? [answer.text] : [],
  );
}

/** Ids of these files end in the language: `563260143484355911_en`. */
async function readLanguages(folder: string, names: readonly string[], table: AnswerTable): Promise<void> {
  for (const name of names) {
    const language = languageFile.exec(name)?.[1];
    if (!language) continue;
    for await (const line of readJsonLines(join(folder, name))) {
      const { answers } = line.value;
      if (!Array.isArray(answers)) throw malformed(line.place, 'answers', 'a list', answers);
      const id = textOf(line, 'id').replace(/_[a-z_]+$/, '');
      const texts = answers.filter((text): text is string => typeof text === 'string' && text !== '');
      table.add(language.replace('_', '-'), id, textOf(line, 'question'), texts);
    }
  }
}

function objectOf({ value, place }: JsonLine, key: string): Record<string, unknown> {
  const object = value[key];
  if (typeof object !== 'object' || object === null) throw malformed(place, key, 'an object', object);
  return object as Record<string, unknown>;
}

export const mkqa: TaskEntry<RetrievalTask> = {
  name: 'mkqa',
  title: 'find the short answer to a question; 26 languages, parallel',
  source: 'github.com/apple/ml-mkqa, CC BY-SA 3.0',
  download: 'git clone --depth 1 https://github.com/apple/ml-mkqa',
  layout: 'ml-mkqa/dataset: mkqa.jsonl.gz; or mkqa-<language>.jsonl as in the MIA 2022 shared task',
  open: openMkqa,
};
