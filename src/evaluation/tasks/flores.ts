import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parallelLinesTask } from './bitext_pairs.js';
import { listFolder } from './data_files.js';
import type { TaskEntry } from './entry.js';
import { taskDataInvalid } from './squad_sentences.js';
import type { BitextTask } from './task.js';

const publishedSentences = 1012;

/** FLORES-200's devtest (NLLB team, arXiv 2207.04672): the same 1,012 sentences in 204 languages. */
async function openFlores(folder: string): Promise<BitextTask> {
  const inner = join(folder, 'devtest');
  const place = existsSync(inner) ? inner : folder;
  const names = (await listFolder(place)).filter((name) => name.endsWith('.devtest'));
  if (names.length === 0) throw taskDataInvalid(place, '<language>.devtest', 'no such file');
  const paths = new Map(names.map((name) => [name.slice(0, -'.devtest'.length), join(place, name)]));
  return parallelLinesTask('flores', paths, publishedSentences, 'eng_Latn');
}

export const flores: TaskEntry<BitextTask> = {
  name: 'flores',
  title: 'find the translation of a sentence; 204 languages, parallel',
  source: 'github.com/facebookresearch/flores, flores200, CC BY-SA 4.0',
  download: 'curl -L https://dl.fbaipublicfiles.com/nllb/flores200_dataset.tar.gz | tar xz',
  layout: 'flores200_dataset: devtest/<language>.devtest, for example devtest/eng_Latn.devtest',
  mteb: { task: 'FloresBitextMining', split: 'devtest' },
  open: openFlores,
};
