import type { Encoder } from '../../encoding/encoder.js';
import type { SearchExample } from '../../report/results.js';
import { FlatIndex } from '../../search/flat_index.js';
import type { DemoData } from './data.js';

/** Symbols and the language they are asked for in: known symbols first, so that a reader can judge the answers. */
const QUESTIONS = [
  ['🐘', 'en'],
  ['🍞', 'de'],
  ['🚲', 'es'],
  ['🌧', 'ru'],
  ['🎸', 'tr'],
  ['🏠', 'zh'],
  ['🐟', 'ar'],
  ['❤', 'hi'],
  ['☀', 'th'],
  ['🐈', 'el'],
  ['🌳', 'vi'],
] as const;
const EXAMPLES = 6;
const RESULTS = 5;

/** Searches the keywords of all test symbols in all languages at once. */
export async function searchExamples(encoder: Encoder, data: DemoData): Promise<SearchExample[]> {
  const task = data.tasks.cldr!;
  const candidates = task.languages.flatMap((language) =>
    task.candidates(language).map(({ id, text }) => ({ id, text, language })),
  );
  const byId = new Map(candidates.map((candidate) => [candidate.id, candidate]));
  const index = FlatIndex.create({ dimensions: encoder.dimensions, device: encoder.device });
  const passages = await encoder.encode(
    candidates.map(({ text }) => text),
    { role: 'passage' },
  );
  await index.add(
    passages,
    candidates.map(({ id }) => id),
  );
  const asked = questions(data);
  const queries = await encoder.encode(
    asked.map(({ text }) => text),
    { role: 'query' },
  );
  const hits = await index.search(queries, RESULTS);
  index.dispose();
  return asked.map(({ id, text, language }, q) => ({
    query: text,
    queryLanguage: language,
    regime: 'hybrid',
    results: hits[q]!.map((hit) => ({
      text: byId.get(hit.id)!.text,
      language: byId.get(hit.id)!.language,
      score: hit.score,
      correct: task.qrels.get(id)!.has(hit.id),
    })),
  }));
}

/** One test symbol for each of the first languages: a known one where the split holds one, else the first there is. */
function questions({ test }: DemoData): { id: string; text: string; language: string }[] {
  const inTest = new Map(test.map((record) => [record.id, record]));
  const known = QUESTIONS.flatMap(([symbol, language]) =>
    inTest.get(symbol)?.query[language] ? [{ symbol, language }] : [],
  );
  const used = new Set(known.map(({ symbol }) => symbol as string));
  const others = QUESTIONS.filter(
    ([, language]) => !known.some((question) => question.language === language),
  ).flatMap(([, language]) => {
    const record = test.find(({ id, query }) => !used.has(id) && query[language]);
    if (record) used.add(record.id);
    return record ? [{ symbol: record.id, language }] : [];
  });
  return [...known, ...others]
    .slice(0, EXAMPLES)
    .map(({ symbol, language }) => ({ id: symbol, text: inTest.get(symbol)!.query[language]!, language }));
}
