import { z } from 'zod';
import { checkOptions, listSchema } from '../../checked_options.js';
import type { ParallelRecord } from '../../datasets/records.js';
import { invalidArgument } from '../../errors.js';
import { parallelTask } from './parallel_task.js';
import type { SentenceRetrieval } from './squad_sentences.js';
import type { RetrievalTask } from './task.js';

const schema = z.object({ name: z.string(), records: listSchema, languages: z.array(z.string()) });

/**
 * A task from parallel records: in each language the queries and positives of the records that have both there. A
 * candidate's id is `<record>@<language>`. Throws INVALID_ARGUMENT for a language in which no record has both.
 */
export function recordsTask(
  name: string,
  records: readonly ParallelRecord[],
  languages: readonly string[],
): RetrievalTask {
  checkOptions(schema, { name, records, languages });
  const sides = [...languages].sort().map((language): [string, SentenceRetrieval] => {
    const present = records.filter(({ query, positive }) => query[language] && positive[language]);
    if (present.length === 0) {
      throw invalidArgument('languages', 'those in which a record has query and positive', language);
    }
    const candidateId = (id: string) => `${id}@${language}`;
    return [
      language,
      {
        queries: present.map(({ id, query }) => ({ id, text: query[language]! })),
        candidates: present.map(({ id, positive }) => ({ id: candidateId(id), text: positive[language]! })),
        answers: new Map(present.map(({ id }) => [id, new Set([candidateId(id)])])),
      },
    ];
  });
  return parallelTask(name, new Map(sides));
}
