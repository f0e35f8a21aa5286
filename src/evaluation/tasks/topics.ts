import { readLines } from '../../datasets/lines.js';
import { placeOf } from '../../datasets/malformed.js';
import { tabFields } from './data_files.js';
import { taskDataInvalid } from './squad_sentences.js';
import type { TaskText } from './task.js';

/** Topics as Anserini writes them: `id<TAB>query` a line. Throws TASK_DATA_INVALID for another number of them. */
export async function readTopics(path: string, published?: number): Promise<TaskText[]> {
  const topics: TaskText[] = [];
  for await (const { line, number } of readLines(path)) {
    if (line.trim() === '') continue;
    const [id, text] = tabFields(line, placeOf(path, number), 2);
    topics.push({ id: id!, text: text!.trim() });
  }
  if (published !== undefined && topics.length !== published) {
    throw taskDataInvalid(path, `${published} topics`, String(topics.length));
  }
  return topics;
}
