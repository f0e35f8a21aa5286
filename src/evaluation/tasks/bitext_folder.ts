import { join } from 'node:path';
import { readLines } from '../../datasets/lines.js';
import { placeOf } from '../../datasets/malformed.js';
import { languagesOf, pairOfFiles } from './bitext_pairs.js';
import { fileLanguage, listFolder, tabFields } from './data_files.js';
import type { TaskEntry } from './entry.js';
import { taskDataInvalid } from './squad_sentences.js';
import type { BitextPair, BitextTask, ParallelSentences } from './task.js';

const pair = `(${fileLanguage})-(${fileLanguage})`;
const table = new RegExp(`^(?:.*\\.)?${pair}\\.tsv(?:\\.gz)?$`);
const side = new RegExp(`^((?:.*\\.)?${pair})\\.(${fileLanguage})$`);

/**
 * Any folder of translations: `<source>-<target>.tsv`, two sentences a line with a tab between, or pairs of files with
 * one sentence a line, `<name>.<source>-<target>.<source>` and `<name>.<source>-<target>.<target>`, as OPUS and Moses
 * have them.
 */
async function openBitextFolder(folder: string): Promise<BitextTask> {
  const names = await listFolder(folder);
  const pairs = names.flatMap((name) => tablePair(folder, name) ?? sidesPair(folder, name, names) ?? []);
  if (pairs.length === 0) {
    throw taskDataInvalid(folder, '<source>-<target>.tsv or <source>-<target>.<source>', 'no such file');
  }
  return { kind: 'bitext', name: 'bitext', languages: languagesOf(pairs), pairs };
}

function tablePair(folder: string, name: string): BitextPair | undefined {
  const [, source, target] = table.exec(name) ?? [];
  if (!source || !target) return undefined;
  return { source, target, read: () => readTable(join(folder, name), `${source}-${target}`) };
}

async function readTable(path: string, pair: string): Promise<ParallelSentences> {
  const sentences = { ids: [] as string[], source: [] as string[], target: [] as string[] };
  for await (const { line, number } of readLines(path)) {
    if (line === '') continue;
    const [source, target] = tabFields(line, placeOf(path, number), 2);
    sentences.ids.push(`${pair} ${number}`);
    sentences.source.push(source!);
    sentences.target.push(target!);
  }
  return sentences;
}

function sidesPair(folder: string, name: string, names: readonly string[]): BitextPair | undefined {
  const [, base, source, target, language] = side.exec(name) ?? [];
  if (!source || !target || language !== source) return undefined;
  const other = `${base}.${target}`;
  if (!names.includes(other)) throw taskDataInvalid(folder, `${other} beside ${name}`, 'no such file');
  return pairOfFiles(
    { language: source, path: join(folder, name) },
    { language: target, path: join(folder, other) },
  );
}

export const bitextFolder: TaskEntry<BitextTask> = {
  name: 'bitext',
  title: 'find the translation of a sentence, in a folder of your own',
  source: 'any',
  download: 'for example OPUS: pip install opustools && opus_read --help',
  layout: '<source>-<target>.tsv[.gz], or <name>.<source>-<target>.<source> and .<target>',
  open: openBitextFolder,
};
