import { readUdhr } from '../../datasets/udhr.js';
import { openTask } from '../../evaluation/tasks/registry.js';

/** Short texts, and long ones. */
export interface TextSource {
  name: string;
  questions: string[];
  passages: string[];
}

export const TEXT_SETS = ['questions', 'passages', 'mix'] as const;
export type TextSet = (typeof TEXT_SETS)[number];

const udhrLanguages = ['ar', 'de', 'el', 'en', 'es', 'hi', 'ru', 'th', 'tr', 'vi', 'zh'];

/** XQuAD-R's questions and paragraphs in eleven languages; without its folder the halves and pairs of articles of UDHR. */
export async function openTextSource(xquad: string | undefined): Promise<TextSource> {
  return xquad ? xquadTexts(xquad) : udhrTexts();
}

async function xquadTexts(folder: string): Promise<TextSource> {
  const task = await openTask('xquad-r', { data: folder });
  if (task.kind !== 'retrieval') throw new Error('XQuAD-R is a retrieval task');
  const questions: string[] = [];
  const passages = new Map<string, string>();
  for (const language of task.languages) {
    questions.push(...task.queries(language).map(({ text }) => text));
    for (const { id, text } of task.candidates(language)) {
      const paragraph = id.slice(0, id.lastIndexOf('-'));
      passages.set(paragraph, `${passages.get(paragraph) ?? ''} ${text}`.trimStart());
    }
  }
  return { name: 'XQuAD-R', questions, passages: [...passages.values()] };
}

async function udhrTexts(): Promise<TextSource> {
  const records = await readUdhr(udhrLanguages);
  const questions = udhrLanguages.flatMap((language) => records.map(({ query }) => query[language] ?? ''));
  const passages = udhrLanguages.flatMap((language) =>
    records
      .slice(1)
      .map((record, n) =>
        [records[n]!, record]
          .map(({ query, positive }) => `${query[language]} ${positive[language]}`)
          .join(' '),
      ),
  );
  return { name: 'UDHR', questions: questions.filter(Boolean), passages };
}

/** So many texts of a set, drawn evenly over languages and in an order that mixes them; the same ones each time. */
export function chooseTexts({ questions, passages }: TextSource, set: TextSet, count: number): string[] {
  if (set === 'questions') return spread(questions, count);
  if (set === 'passages') return spread(passages, count);
  const half = Math.ceil(count / 2);
  const long = spread(passages, count - half);
  return spread(questions, half).flatMap((question, n) =>
    n < long.length ? [question, long[n]!] : [question],
  );
}

/** So many texts of `tokens` tokens or more each, to be cut by the tokenizer. */
export function longTexts({ passages }: TextSource, count: number): string[] {
  const joined = 8;
  const texts = spread(passages, count * joined);
  return Array.from({ length: count }, (_, n) => texts.slice(n * joined, (n + 1) * joined).join(' '));
}

/** Steps of the golden ratio visit the list evenly and far from in order. */
function spread(texts: readonly string[], count: number): string[] {
  return Array.from({ length: count }, (_, n) => {
    const place = (n * 0.6180339887498949) % 1;
    return texts[Math.floor(place * texts.length)]!;
  });
}
