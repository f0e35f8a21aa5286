import { join } from 'node:path';
import { readLines } from '../../datasets/lines.js';
import { malformed, placeOf } from '../../datasets/malformed.js';
import { languagesOf } from './bitext_pairs.js';
import { fileLanguage, type JsonLine, listFolder, readJsonLines, tabFields, textOf } from './data_files.js';
import type { TaskEntry } from './entry.js';
import { taskDataInvalid } from './squad_sentences.js';
import type { GradedPairs, SimilaritySet, SimilarityTask } from './task.js';

const file = new RegExp(`^(?:.*[./])?(${fileLanguage})(?:-(${fileLanguage}))?\\.(jsonl|tsv)(?:\\.gz)?$`);

/**
 * Any folder of graded pairs: `<language>.jsonl` or `<first>-<second>.jsonl` with lines `{sentence1, sentence2,
 * score}`, as MTEB's data sets are exported, or the same as `.tsv` with columns first, second, grade.
 */
async function openSimilarity(folder: string): Promise<SimilarityTask> {
  const sets = (await listFolder(folder)).flatMap((name): SimilaritySet[] => {
    const [, source, target = source, format] = file.exec(name) ?? [];
    if (!source || !target) return [];
    const path = join(folder, name);
    return [{ source, target, read: () => (format === 'tsv' ? readTable(path) : readJson(path)) }];
  });
  if (sets.length === 0)
    throw taskDataInvalid(folder, '<language>.jsonl or <first>-<second>.tsv', 'no such file');
  return { kind: 'similarity', name: 'sts', languages: languagesOf(sets), sets };
}

async function readJson(path: string): Promise<GradedPairs> {
  const pairs = { first: [] as string[], second: [] as string[], grades: [] as number[] };
  for await (const line of readJsonLines(path)) {
    pairs.first.push(textOf(line, 'sentence1'));
    pairs.second.push(textOf(line, 'sentence2'));
    pairs.grades.push(gradeOf(line));
  }
  return atLeastTwo(path, pairs);
}

async function readTable(path: string): Promise<GradedPairs> {
  const pairs = { first: [] as string[], second: [] as string[], grades: [] as number[] };
  for await (const { line, number } of readLines(path)) {
    if (line === '') continue;
    const place = placeOf(path, number);
    const [first, second, score] = tabFields(line, place, 3);
    pairs.first.push(first!);
    pairs.second.push(second!);
    // Number('') is 0.
    pairs.grades.push(gradeOf({ value: { score: score!.trim() === '' ? score : Number(score) }, place }));
  }
  return atLeastTwo(path, pairs);
}

function gradeOf({ value, place }: JsonLine): number {
  const { score } = value;
  if (typeof score !== 'number' || !Number.isFinite(score))
    throw malformed(place, 'score', 'a number', score);
  return score;
}

function atLeastTwo(path: string, pairs: GradedPairs): GradedPairs {
  if (pairs.grades.length >= 2) return pairs;
  throw taskDataInvalid(path, 'two or more pairs', String(pairs.grades.length));
}

export const similarity: TaskEntry<SimilarityTask> = {
  name: 'sts',
  title: 'semantic similarity: rank correlation with the grades that people gave',
  source: 'for example mteb/sts17-crosslingual-sts on the Hugging Face hub',
  download: 'hf download mteb/sts17-crosslingual-sts --repo-type dataset --local-dir sts17',
  layout: '<language>.jsonl or <first>-<second>.jsonl with sentence1, sentence2, score; or .tsv',
  open: openSimilarity,
};
