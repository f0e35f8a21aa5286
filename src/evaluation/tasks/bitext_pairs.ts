import { readSentences } from './data_files.js';
import { taskDataInvalid } from './squad_sentences.js';
import type { BitextPair, BitextTask } from './task.js';

/** Files with one sentence a line, line i the same sentence in every language: all pairs of the languages. */
export function parallelLinesTask(
  name: string,
  pathOf: ReadonlyMap<string, string>,
  lines: number,
  pivot: string,
): BitextTask {
  const languages = [...pathOf.keys()].sort();
  const ids = Array.from({ length: lines }, (_, line) => String(line + 1));
  const sentences = (language: string) => readSentences(pathOf.get(language)!, lines);
  const pair = (source: string, target: string): BitextPair => ({
    source,
    target,
    read: async () => ({ ids, source: await sentences(source), target: await sentences(target) }),
  });
  const pairs = languages.flatMap((source, i) =>
    languages.slice(i + 1).map((target) => pair(source, target)),
  );
  return { kind: 'bitext', name, languages, pairs, pivot };
}

/** Two files with one sentence a line, line i of one the translation of line i of the other. */
export function pairOfFiles(
  source: { language: string; path: string },
  target: { language: string; path: string },
  lines?: number,
): BitextPair {
  const name = `${source.language}-${target.language}`;
  return {
    source: source.language,
    target: target.language,
    read: async () => {
      const first = await readSentences(source.path, lines);
      const second = await readSentences(target.path, first.length);
      if (first.length === 0) throw taskDataInvalid(source.path, 'sentences', 'none');
      return { ids: first.map((_, line) => `${name} ${line + 1}`), source: first, target: second };
    },
  };
}

export function languagesOf(pairs: readonly { source: string; target: string }[]): string[] {
  return [...new Set(pairs.flatMap(({ source, target }) => [source, target]))].sort();
}
