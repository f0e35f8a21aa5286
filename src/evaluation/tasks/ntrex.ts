import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parallelLinesTask } from './bitext_pairs.js';
import { listFolder } from './data_files.js';
import type { TaskEntry } from './entry.js';
import { taskDataInvalid } from './squad_sentences.js';
import type { BitextTask } from './task.js';

/** The source, the references, and second references (`ref-2.spa`), whose language is then `spa-2`. */
const file = /^newstest2019-(?:src|ref(-\d)?)\.([a-z]{3}(?:[-_][A-Za-z]+)?)\.txt$/;
const publishedSentences = 1997;

/** NTREX-128 (Federmann, Kocmi and Xin, 2022): the sentences of WMT's newstest2019 in 128 languages. */
async function openNtrex(folder: string): Promise<BitextTask> {
  const inner = join(folder, 'NTREX-128');
  const place = existsSync(inner) ? inner : folder;
  const paths = new Map<string, string>();
  for (const name of await listFolder(place)) {
    const [, second = '', language] = file.exec(name) ?? [];
    if (language) paths.set(`${language}${second}`, join(place, name));
  }
  if (paths.size === 0) throw taskDataInvalid(place, 'newstest2019-ref.<language>.txt', 'no such file');
  return parallelLinesTask('ntrex', paths, publishedSentences, 'eng');
}

export const ntrex: TaskEntry<BitextTask> = {
  name: 'ntrex',
  title: 'find the translation of a sentence; 128 languages, parallel',
  source: 'github.com/MicrosoftTranslator/NTREX, CC BY-SA 4.0',
  download: 'git clone --depth 1 https://github.com/MicrosoftTranslator/NTREX',
  layout: 'NTREX: NTREX-128/newstest2019-ref.<language>.txt and newstest2019-src.eng.txt',
  open: openNtrex,
};
