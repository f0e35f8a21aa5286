import { XlembedError } from '../../errors.js';
import type { Qrels } from '../judgements.js';
import { type JsonLine, readJsonLines, textOf } from './data_files.js';
import { taskDataInvalid } from './squad_sentences.js';
import type { Collection, TaskText } from './task.js';

export interface CollectionFiles {
  queries: readonly TaskText[];
  qrels: Qrels;
  /** JSON lines, in this order. */
  files: readonly string[];
  /** Which field of a line is the passage's id. */
  id: string;
  published?: number | undefined;
  ignoreOwnId?: boolean;
}

/**
 * A collection whose passages are JSON lines `{<id>, title, text}`; a title stands before its text, with a space between
 * and none around both, as BEIR and MTEB embed them. Queries without a judgement are not asked; one whose passages are
 * all judged not relevant scores 0, as in pytrec_eval and MTEB. Some judged passages may be missing, as in published
 * collections, but not all of them.
 */
export function jsonCollection({
  queries,
  qrels,
  files,
  id,
  published,
  ignoreOwnId = false,
}: CollectionFiles): Collection {
  const asked = queries.filter(({ id }) => qrels.has(id));
  if (asked.length === 0) {
    throw new XlembedError('TASK_DATA_INVALID', `expected judged queries for ${files[0]}, received none`);
  }
  return {
    queries: asked,
    qrels,
    files,
    published,
    ignoreOwnId,
    passages: () => readPassages(files, id, judgedPassages(asked, qrels), published),
  };
}

function judgedPassages(queries: readonly TaskText[], qrels: Qrels): Set<string> {
  return new Set(queries.flatMap(({ id }) => [...qrels.get(id)!.keys()]));
}

async function* readPassages(
  files: readonly string[],
  id: string,
  judged: ReadonlySet<string>,
  published: number | undefined,
): AsyncGenerator<TaskText> {
  let count = 0;
  let areJudged = false;
  for (const file of files) {
    for await (const line of readJsonLines(file)) {
      count += 1;
      const passage = textOf(line, id);
      areJudged ||= judged.has(passage);
      yield { id: passage, text: passageText(line) };
    }
  }
  if (published !== undefined && count !== published) {
    throw taskDataInvalid(files.join(', '), `${published} passages`, String(count));
  }
  if (!areJudged) {
    const [example] = judged;
    throw taskDataInvalid(
      files.join(', '),
      'passages that the qrels name',
      `none, for example no ${example}`,
    );
  }
}

function passageText(line: JsonLine): string {
  const title = textOf(line, 'title', '');
  const text = textOf(line, 'text');
  return (title === '' ? text : `${title} ${text}`).trim();
}
