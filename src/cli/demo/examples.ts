import type { Encoder } from '../../encoding/encoder.js';
import type { SearchExample } from '../../report/results.js';
import { FlatIndex } from '../../search/flat_index.js';
import type { DemoData } from './data.js';

/** Symbols that a reader can judge, and the language they are asked for in; those of the test split are taken. */
const QUESTIONS = [
  ['🐠', 'de'],
  ['🚑', 'en'],
  ['🏰', 'es'],
  ['👩\u200d🎓', 'ru'],
  ['🚗', 'tr'],
  ['🌨', 'zh'],
  ['🎾', 'ar'],
  ['🍎', 'hi'],
  ['🏂', 'th'],
  ['🐈', 'el'],
  ['✈', 'vi'],
  ['🐘', 'en'],
  ['🍞', 'de'],
  ['🎸', 'es'],
  ['🌧', 'ru'],
  ['🏠', 'zh'],
] as const;
const EXAMPLES = 8;
const RESULTS = 5;
/** Hits fetched for a query, so that enough are left when equal texts are shown once. */
const FETCHED = 20;

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
  const hits = await index.search(queries, FETCHED);
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
    }))
      .filter((result, rank, all) => all.findIndex(({ text }) => text === result.text) === rank)
      .slice(0, RESULTS),
  }));
}

/** Known symbols of the test split, each in its language; the first test symbols in English where it holds too few. */
function questions({ test }: DemoData): { id: string; text: string; language: string }[] {
  const inTest = new Map(test.map((record) => [record.id, record]));
  const asked = QUESTIONS.flatMap(([id, language]) => {
    const text = inTest.get(id)?.query[language];
    return text ? [{ id: id as string, text, language: language as string }] : [];
  });
  const others = test.flatMap(({ id, query }) => (query.en ? [{ id, text: query.en, language: 'en' }] : []));
  return [...asked, ...others].slice(0, EXAMPLES);
}
