import { z } from 'zod';
import { XlembedError } from '../../errors.js';
import type { TaskText } from './task.js';

const offset = z.number().int().nonnegative();

const paragraphSchema = z.object({
  qas: z.array(
    z.object({
      id: z.string().min(1),
      question: z.string().min(1),
      answers: z.array(z.object({ answer_start: offset })).min(1),
    }),
  ),
  sentences: z.array(z.string().min(1)),
  sentence_breaks: z.array(z.tuple([offset, offset])),
});

const fileSchema = z.object({ data: z.array(z.object({ paragraphs: z.array(paragraphSchema) })) });

type Paragraph = z.infer<typeof paragraphSchema>;

/** One language of a sentence retrieval task made from SQuAD-style paragraphs. */
export interface SentenceRetrieval {
  queries: TaskText[];
  /** The sentences of all paragraphs: `<language>-<paragraph>-<sentence>`, both counted from 0 over the file. */
  candidates: TaskText[];
  /** Query id -> ids of the sentences that hold its answers. */
  answers: Map<string, Set<string>>;
}

/**
 * Turns questions with marked answers into queries with a relevant sentence, as LAReQA does (arXiv 2004.05484): the
 * sentence with start <= answer_start < end. Offsets are compared with offsets only, so their unit (code points in
 * the published files) does not matter. Throws TASK_DATA_INVALID with the file and the place in it.
 */
export function parseSentenceRetrieval(json: string, language: string, path: string): SentenceRetrieval {
  const result: SentenceRetrieval = { queries: [], candidates: [], answers: new Map() };
  readParagraphs(json, path).forEach((paragraph, number) => {
    const { sentences, sentence_breaks: breaks } = paragraph;
    if (sentences.length !== breaks.length) {
      const counts = `${breaks.length} sentence_breaks for ${sentences.length} sentences`;
      throw taskDataInvalid(path, `as many sentence_breaks as sentences in paragraph ${number}`, counts);
    }
    const ids = sentences.map((_, sentence) => `${language}-${number}-${sentence}`);
    sentences.forEach((text, sentence) => {
      result.candidates.push({ id: ids[sentence]!, text });
    });
    addQuestions(result, paragraph, ids, path);
  });
  return result;
}

function addQuestions(result: SentenceRetrieval, paragraph: Paragraph, ids: string[], path: string): void {
  for (const { id, question, answers } of paragraph.qas) {
    if (result.answers.has(id)) throw taskDataInvalid(path, 'every question id once', `${id} again`);
    const relevant = new Set<string>();
    for (const { answer_start: start } of answers) {
      const sentence = paragraph.sentence_breaks.findIndex(([first, end]) => first <= start && start < end);
      if (sentence < 0) {
        throw taskDataInvalid(
          path,
          `the answer of question ${id} inside a sentence`,
          `answer_start ${start}`,
        );
      }
      relevant.add(ids[sentence]!);
    }
    result.queries.push({ id, text: question });
    result.answers.set(id, relevant);
  }
}

function readParagraphs(json: string, path: string): Paragraph[] {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw taskDataInvalid(path, 'JSON', (cause as Error).message, { cause });
  }
  const parsed = fileSchema.safeParse(value);
  if (parsed.success) return parsed.data.data.flatMap(({ paragraphs }) => paragraphs);
  const [issue] = parsed.error.issues;
  throw taskDataInvalid(
    path,
    'SQuAD-style paragraphs with sentence_breaks',
    `${issue?.path.join('.')}: ${issue?.message}`,
  );
}

/** TASK_DATA_INVALID in one spelling: "expected X in FILE, received Y". */
export function taskDataInvalid(
  path: string,
  expected: string,
  received: string,
  options?: { cause: unknown },
): XlembedError {
  return new XlembedError(
    'TASK_DATA_INVALID',
    `expected ${expected} in ${path}, received ${received}`,
    'fetch the published file again',
    options,
  );
}
