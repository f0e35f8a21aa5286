#!/usr/bin/env node
// Makes the experiment's data: pairs for the fine-tuning, translations for the pre-training, lexicons, and the folders
// of the evaluations. Whatever occurs in an evaluation is taken out of the training texts and counted.
//
//   XLEMBED_SHARED=<folder> node experiments/hybrid/prepare.mjs <output folder>
import { existsSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openTask } from 'xlembed';
import { execute, lines, writeJson, writeJsonLines } from './lib/files.mjs';
import { CODES, LANGUAGES, TRAINED } from './lib/languages.mjs';
import { dropLeaks, Leakage, normalise } from './lib/leakage.mjs';
import { helpRecords, newsRecords, packageRecords, symbolRecords } from './lib/records.mjs';
import {
  addSymbolNames,
  newsTranslations,
  questionTranslations,
  readLexicons,
  readNews,
  tatoebaTranslations,
  wordTranslations,
} from './lib/translations.mjs';

/** Times that an English word occurs in the training texts for its translations to be learnt. */
const FREQUENT = 5;

const [output] = process.argv.slice(2);
const shared = process.env.XLEMBED_SHARED;
if (!output || !shared) {
  console.error(
    'usage: XLEMBED_SHARED=<folder with data/> node experiments/hybrid/prepare.mjs <output folder>',
  );
  process.exit(2);
}
if (existsSync(join(output, 'counts.json'))) {
  console.log(`${output} is prepared`);
  process.exit();
}

const working = `${output}.partial`;
await rm(working, { recursive: true, force: true });
const evaluations = join(working, 'evaluations');
await unpack();
const leakage = await readEvaluations();

const counts = { leakage: {}, examples: [], languages: {} };
const clean = (name, records, sides) => {
  const { kept, counts: dropped, examples } = dropLeaks(records, leakage, sides);
  counts.leakage[name] = dropped;
  counts.examples.push(...examples);
  counts.languages[name] = countLanguages(kept, sides[0]);
  return kept;
};
const news = await readNews(join(working, 'ntrex'));
const pairs = [
  ...clean('help', await helpRecords(shared), ['query', 'positive']),
  ...clean('packages', await packageRecords(shared), ['query', 'positive']),
  ...clean('symbols', await symbolRecords(), ['query', 'positive']),
  ...clean('news', newsRecords(news), ['query', 'positive']),
];
const translations = {
  tatoeba: clean('tatoeba', await tatoebaTranslations(shared), ['texts']),
  questions: clean('questions', await questionTranslations(join(working, 'mkqa')), ['texts']),
  sentences: clean('sentences', newsTranslations(news), ['texts']),
};
const lexicons = await readLexicons(shared);
const symbols = await addSymbolNames(lexicons);
translations.words = clean('words', [...wordTranslations(lexicons, frequentWords()), ...symbols], ['texts']);

await writeJsonLines(join(working, 'pairs.jsonl'), pairs);
await writeJsonLines(join(working, 'shuffled.jsonl'), pairs.flatMap(flatPairs));
for (const [name, records] of Object.entries(translations)) {
  const parallel = records.filter(({ texts }) => Object.keys(texts).length > 1);
  await writeJsonLines(
    join(working, 'translations', `${name}.jsonl`),
    parallel.map(({ id, texts }) => ({ id, query: texts, positive: texts })),
  );
}
await mkdir(join(working, 'lexicons'));
for (const [language, lexicon] of Object.entries(lexicons)) {
  const entries = [...lexicon].map(([word, texts]) => `${word}\t${texts.join('|')}\n`);
  await writeFile(join(working, 'lexicons', `en-${language}.tsv`), entries.join(''));
}
counts.pairs = { records: pairs.length, languages: countLanguages(pairs, 'query') };
await writeJson(join(working, 'counts.json'), counts);
await rename(working, output);
console.log(JSON.stringify(counts, null, 1));

/** Archives become folders that the tasks read. */
async function unpack() {
  const data = join(shared, 'data');
  const python = (module, file, folder) => execute('python3', ['-m', module, '-e', join(data, file), folder]);
  await mkdir(evaluations, { recursive: true });
  await python('tarfile', 'ntrex128/ntrex128.tar.xz', join(working, 'ntrex'));
  await python('tarfile', 'flores200-devtest/flores200-devtest.tar.xz', join(evaluations, 'flores'));
  await python('zipfile', 'mkqa/mkqa_test.zip', join(working, 'mkqa'));
  await python('zipfile', 'mkqa/mkqa_dev.zip', working);
  await rename(join(working, 'mkqa_dev'), join(evaluations, 'mkqa'));
}

async function readEvaluations() {
  const found = new Leakage();
  const xquad = await openTask('xquad-r', { data: join(shared, 'data/xquad-r') });
  for (const language of xquad.languages) {
    for (const { text } of [...xquad.queries(language), ...xquad.candidates(language)]) found.add(text);
  }
  const mkqa = await openTask('mkqa', { data: join(evaluations, 'mkqa') });
  for (const language of mkqa.languages) for (const { text } of mkqa.queries(language)) found.add(text);
  for (const code of Object.values(CODES.flores)) {
    for await (const line of lines(join(evaluations, 'flores/devtest', `${code}.devtest`))) found.add(line);
  }
  return found;
}

/** Words of the English training texts. */
function frequentWords() {
  const seen = new Map();
  const texts = [
    ...pairs.flatMap(({ query, positive }) => [query.en, positive.en]),
    ...Object.values(translations).flatMap((records) => records.map(({ texts: { en } }) => en)),
  ];
  for (const text of texts)
    for (const word of normalise(text ?? '').split(' ')) seen.set(word, (seen.get(word) ?? 0) + 1);
  return new Set([...seen].filter(([, count]) => count >= FREQUENT).map(([word]) => word));
}

/** A record's pairs within a language, each on its own and without its language: what plain fine-tuning shuffles. */
function flatPairs({ id, query, positive }) {
  return TRAINED.filter((language) => query[language]).map((language) => ({
    id: `${id}:${language}`,
    query: query[language],
    positive: positive[language],
  }));
}

function countLanguages(records, side) {
  const count = (language) => records.filter((record) => record[side][language]).length;
  return Object.fromEntries(
    LANGUAGES.map((language) => [language, count(language)]).filter(([, n]) => n > 0),
  );
}
