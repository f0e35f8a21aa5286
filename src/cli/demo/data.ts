import { readCldrAnnotations } from '../../datasets/cldr_annotations.js';
import type { ParallelRecord } from '../../datasets/records.js';
import { splitRecords } from '../../datasets/split_records.js';
import { readUdhr } from '../../datasets/udhr.js';
import { recordsTask } from '../../evaluation/tasks/records_task.js';
import type { RetrievalTask } from '../../evaluation/tasks/task.js';

/** The training languages of arXiv 2408.10536; Greek and Vietnamese are never trained on, as there. */
export const TRAINED = ['en', 'ar', 'zh', 'de', 'es', 'ru', 'th', 'tr', 'hi'];
export const ZERO_SHOT = ['el', 'vi'];
const LANGUAGES = [...TRAINED, ...ZERO_SHOT];

/** Share of the symbols that is kept for the test. */
const TEST_SHARE = 0.2;

export interface DemoData {
  /** Symbols to train on: name -> keywords in the training languages alone. */
  train: ParallelRecord[];
  /** Other symbols, in all languages. */
  test: ParallelRecord[];
  /** Kind of text -> what is measured on it. */
  tasks: Record<string, RetrievalTask>;
  /** Texts that the tokenizer's pieces are learnt from. */
  tokenizerTexts: string[];
}

/**
 * Unicode's names and keywords of symbols (CLDR): a symbol's name is the query, its keywords are the passage,
 * parallel by symbol. Beside it the articles of the Universal Declaration of Human Rights, a kind of text that no
 * training batch holds.
 */
export async function readDemoData(seed: number): Promise<DemoData> {
  const symbols = await readCldrAnnotations(LANGUAGES);
  const { train, test } = splitRecords(symbols, { testShare: TEST_SHARE, seed });
  const udhr = await readUdhr(LANGUAGES);
  return {
    train: train.map((record) => inLanguages(record, TRAINED)),
    test,
    tasks: { cldr: recordsTask('cldr', test, LANGUAGES), udhr: recordsTask('udhr', udhr, LANGUAGES) },
    // As XLM-R's pieces were, the tokenizer's are learnt from text of all languages; no test symbol is among it.
    tokenizerTexts: train.flatMap(({ query, positive }) => [
      ...Object.values(query),
      ...Object.values(positive),
    ]),
  };
}

function inLanguages({ id, query, positive }: ParallelRecord, languages: readonly string[]): ParallelRecord {
  const only = (texts: Record<string, string>) =>
    Object.fromEntries(Object.entries(texts).filter(([language]) => languages.includes(language)));
  return { id, query: only(query), positive: only(positive) };
}
