// What the pre-training learns from: texts and their translations, parallel over languages by id.
import { join } from 'node:path';
import { readCldrAnnotations } from 'xlembed';
import { lines } from './files.mjs';
import { CODES, LANGUAGES } from './languages.mjs';

/** NTREX-128's sentences by language, and the document that each belongs to. */
export async function readNews(folder) {
  const documents = [];
  for await (const line of lines(join(folder, 'DOCUMENT_IDS.tsv'))) documents.push(line);
  const sentences = {};
  for (const [language, code] of Object.entries(CODES.ntrex)) {
    const texts = [];
    for await (const line of lines(join(folder, 'NTREX-128', `newstest2019-${code}.txt`)))
      texts.push(line.trim());
    if (texts.length !== documents.length)
      throw new Error(`expected ${documents.length} sentences of ${language}, received ${texts.length}`);
    sentences[language] = texts;
  }
  return { documents, sentences };
}

export function newsTranslations({ documents, sentences }) {
  return documents.map((_, i) => ({
    id: `news:${i}`,
    texts: Object.fromEntries(LANGUAGES.map((language) => [language, sentences[language][i]])),
  }));
}

/** Sentences of Tatoeba, joined by their English side. */
export async function tatoebaTranslations(shared) {
  const joined = new Map();
  for (const [language, code] of Object.entries(CODES.tatoeba)) {
    for await (const line of lines(join(shared, 'data/tatoeba-challenge-eng', `eng-${code}.tsv.xz`))) {
      const [english, foreign] = line.split('\t');
      if (!english || !foreign) continue;
      const texts = joined.get(english) ?? { en: english };
      texts[language] ??= foreign;
      joined.set(english, texts);
    }
  }
  return [...joined.values()].map((texts, i) => ({ id: `tatoeba:${i}`, texts }));
}

/** MKQA's 5,000 questions that are published without answers; the others are left for the evaluation. */
export async function questionTranslations(folder) {
  const joined = new Map();
  for (const [language, code] of Object.entries(CODES.mkqa)) {
    for await (const line of lines(join(folder, 'mkqa_test_without_answers', `mkqa-${code}.jsonl`))) {
      const { id, question } = JSON.parse(line);
      const key = id.replace(/_[a-z_]+$/, '');
      joined.set(key, { ...joined.get(key), [language]: question });
    }
  }
  return [...joined].map(([id, texts]) => ({ id: `question:${id}`, texts }));
}

/** Word -> translations, of FreeDict's dictionaries: entries that consist of one English word. */
export async function readLexicons(shared) {
  const lexicons = {};
  for (const [language, code] of Object.entries(CODES.freedict)) {
    lexicons[language] = new Map();
    for await (const line of lines(join(shared, 'data/freedict-eng', `eng-${code}.tsv.xz`))) {
      const [word, translations = ''] = line.split('\t');
      const kept = translations
        .split('|')
        .map((text) => text.trim())
        .filter((text) => /^[\p{L}\p{M}' -]{1,30}$/u.test(text));
      if (/^[a-z]{2,}$/.test(word) && kept.length > 0) lexicons[language].set(word, kept);
    }
  }
  return lexicons;
}

/** Names of Unicode's symbols in all languages, added to lexicons where they are one word. */
export async function addSymbolNames(lexicons) {
  const symbols = await readCldrAnnotations(LANGUAGES);
  for (const { query } of symbols) {
    const word = query.en?.toLowerCase();
    if (!word || !/^[a-z]{2,}$/.test(word)) continue;
    for (const language of LANGUAGES.filter((language) => language !== 'en' && query[language])) {
      lexicons[language] ??= new Map();
      if (!lexicons[language].has(word)) lexicons[language].set(word, [query[language]]);
    }
  }
  return symbols.map(({ id, query }) => ({ id: `symbol:${id}`, texts: query }));
}

/** Words that `frequent` has, with the first translation of each language. */
export function wordTranslations(lexicons, frequent) {
  const joined = new Map();
  for (const [language, lexicon] of Object.entries(lexicons)) {
    for (const [word, [first]] of lexicon) {
      if (frequent.has(word)) joined.set(word, { ...(joined.get(word) ?? { en: word }), [language]: first });
    }
  }
  return [...joined].map(([word, texts]) => ({ id: `word:${word}`, texts }));
}
