import { join } from 'node:path';
import { languagesOf, pairOfFiles } from './bitext_pairs.js';
import { listFolder } from './data_files.js';
import type { TaskEntry } from './entry.js';
import { taskDataInvalid } from './squad_sentences.js';
import type { BitextPair, BitextTask } from './task.js';

const file = /^tatoeba\.([a-z]{3})-eng\.eng$/;

/** Sentences of the languages that have fewer than 1,000, as published. */
// biome-ignore format: a table
const fewerSentences: Record<string, number> = {
  amh: 168, ang: 134, arq: 911, arz: 477, ast: 127, awa: 231, bos: 354, ceb: 600,
  cha: 137, csb: 253, cym: 575, dsb: 479, fao: 262, fry: 173, gla: 829, gsw: 117,
  hsb: 483, hye: 742, jav: 205, kat: 746, kaz: 575, khm: 722, kur: 410, mal: 687,
  max: 284, mon: 440, nov: 257, orv: 835, pms: 525, slv: 823, swg: 112, swh: 390,
  tam: 307, tel: 234, tha: 548, tuk: 203, tzl: 104, uzb: 428, xho: 142, yid: 848,
};

/** Tatoeba (Artetxe and Schwenk, arXiv 1812.10464): up to 1,000 sentences of 112 languages and their English ones. */
async function openTatoeba(folder: string): Promise<BitextTask> {
  const names = await listFolder(folder);
  const pairs = names.flatMap((name): BitextPair[] => {
    const language = file.exec(name)?.[1];
    if (!language) return [];
    const base = join(folder, `tatoeba.${language}-eng`);
    const sides = [
      { language, path: `${base}.${language}` },
      { language: 'eng', path: `${base}.eng` },
    ] as const;
    return [pairOfFiles(...sides, fewerSentences[language] ?? 1000)];
  });
  if (pairs.length === 0) throw taskDataInvalid(folder, 'tatoeba.<language>-eng.eng', 'no such file');
  return { kind: 'bitext', name: 'tatoeba', languages: languagesOf(pairs), pairs };
}

export const tatoeba: TaskEntry<BitextTask> = {
  name: 'tatoeba',
  title: 'find the English translation of a sentence, and back; 112 languages',
  source: 'github.com/facebookresearch/LASER, data/tatoeba/v1, CC BY 2.0 FR',
  download: 'git clone --depth 1 https://github.com/facebookresearch/LASER',
  layout: 'LASER/data/tatoeba/v1: tatoeba.<language>-eng.<language> and .eng',
  mteb: { task: 'Tatoeba', split: 'test' },
  open: openTatoeba,
};
