import { XlembedError } from '../errors.js';
import { malformed, parseId, parseObject } from './malformed.js';
import { type ParallelRecord, UNDETERMINED } from './records.js';

const known = new Set([
  ...['id', 'query', 'positive', 'positive_id', 'negatives', 'query_lang', 'positive_lang'],
  ...['positive_score', 'negative_scores'],
]);
/** What other tools call these fields: passed over in silence, nobody would notice what is missing. */
const elsewhere = new Map<string, string>(
  Object.entries({
    query: ['anchor', 'question', 'sentence1', 'text1'],
    positive: [
      'pos',
      'positives',
      'positive_passages',
      'answer',
      'passage',
      'document',
      'sentence2',
      'text2',
    ],
    negatives: ['negative', 'neg', 'hard_negative', 'hard_negatives', 'negative_passages'],
    negative_scores: ['negative_score', 'neg_scores'],
    positive_score: ['positive_scores', 'pos_scores'],
    query_lang: ['query_language'],
    positive_lang: ['positive_language'],
  }).flatMap(([name, others]) => others.map((other) => [other, name])),
);
const shapes = new Map([
  ['positive', ', which is one text or {language: text}: a record for each of several'],
  ['negatives', ', which is a list of texts or {language: [text]}'],
  ['positive_score', ', which is a number'],
]);
/** A language tag as data sets spell them: en, zh-Hant, pt_BR, eng_Latn. */
const languageTag = /^[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*$/;

/**
 * One line of training data as a record. Either side is `{language: text}`, or a flat text in the language that
 * `query_lang` / `positive_lang` names ('und' without one). Throws MALFORMED_LINE, also for a field under
 * the name that it has elsewhere; fields that mean nothing here are added to `ignored`.
 */
export function parseRecord(
  line: string,
  place: string,
  defaultId: string,
  ignored: Set<string> = new Set(),
): ParallelRecord {
  const fields = parseObject(line, place);
  for (const name of Object.keys(fields)) {
    const meant = elsewhere.get(name) ?? elsewhere.get(name.replace(/_?\d+$/, ''));
    if (meant !== undefined && !Object.hasOwn(fields, meant)) throw otherName(name, meant, place);
  }
  const record: ParallelRecord = {
    id: parseId(fields.id, place) ?? defaultId,
    query: parseSide(fields, 'query', place),
    positive: parseSide(fields, 'positive', place),
  };
  const positiveId = parseId(fields.positive_id, place, 'positive_id');
  if (positiveId !== undefined) record.positiveId = positiveId;
  if (fields.negatives !== undefined && fields.negatives !== null) {
    record.negatives = parseNegatives(fields, place);
  }
  addScores(record, fields, place);
  for (const name of Object.keys(fields)) if (!known.has(name)) ignored.add(name);
  return record;
}

function otherName(name: string, meant: string, place: string): XlembedError {
  return new XlembedError(
    'MALFORMED_LINE',
    `expected the name ${meant}, received ${name} in ${place}`,
    `call the field ${meant}${shapes.get(meant) ?? ''}`,
  );
}

function parseSide(fields: Record<string, unknown>, name: 'query' | 'positive', place: string) {
  const value = fields[name];
  if (value === undefined) {
    const remedy = `call its texts query and positive: it has ${Object.keys(fields).join(', ') || 'no fields'}`;
    throw malformed(place, name, 'a text or {language: text}', value, remedy);
  }
  const given = fields[`${name}_lang`];
  if (typeof value === 'string') return { [flatLanguage(given, name, place)]: parseText(value, name, place) };
  if (given !== undefined) throw malformed(place, name, `a text, as ${name}_lang is given,`, value);
  const entries = languageEntries(value, name, 'a text or {language: text}', place);
  return Object.fromEntries(entries.map(([key, text]) => [key, parseText(text, `${name}.${key}`, place)]));
}

/** Flat negatives share the positive's language, and so need a flat positive. */
function parseNegatives(fields: Record<string, unknown>, place: string): Record<string, string[]> {
  const value = fields.negatives;
  if (Array.isArray(value)) {
    if (typeof fields.positive !== 'string') {
      throw malformed(place, 'negatives', '{language: [text]}, as positive has languages,', value);
    }
    return { [flatLanguage(fields.positive_lang, 'positive', place)]: parseTexts(value, 'negatives', place) };
  }
  const entries = languageEntries(value, 'negatives', '[text] or {language: [text]}', place);
  return Object.fromEntries(
    entries.map(([key, texts]) => [key, parseTexts(texts, `negatives.${key}`, place)]),
  );
}

/** A teacher's scores: of the positive one for all languages or `{language: score}`, of negatives in their shape. */
function addScores(record: ParallelRecord, fields: Record<string, unknown>, place: string): void {
  const { positive_score: own, negative_scores: others } = fields;
  if (own !== undefined && own !== null) {
    record.positiveScores = Object.fromEntries(
      Object.keys(record.positive).map((language) => {
        const value = typeof own === 'object' ? (own as Record<string, unknown>)[language] : own;
        return [language, parseScore(value, 'positive_score', place)];
      }),
    );
  }
  if (others === undefined || others === null) return;
  record.negativeScores = Object.fromEntries(
    Object.entries(record.negatives ?? {}).map(([language, texts]) => {
      const scores = Array.isArray(others) ? others : (others as Record<string, unknown>)[language];
      if (!Array.isArray(scores) || scores.length !== texts.length) {
        throw malformed(place, 'negative_scores', `one number for each of ${texts.length} negatives`, scores);
      }
      return [language, scores.map((score) => parseScore(score, 'negative_scores', place))];
    }),
  );
}

function parseScore(value: unknown, name: string, place: string): number {
  if (typeof value !== 'number' || !Number.isFinite(value)) throw malformed(place, name, 'a number', value);
  return value;
}

function languageEntries(value: unknown, name: string, expected: string, place: string): [string, unknown][] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw malformed(place, name, expected, value);
  }
  const entries = Object.entries(value);
  if (entries.length === 0) throw malformed(place, name, 'at least one language', value);
  for (const [key] of entries) checkLanguage(key, name, place);
  return entries;
}

function flatLanguage(given: unknown, name: string, place: string): string {
  if (given === undefined || given === null) return UNDETERMINED;
  return checkLanguage(given, `${name}_lang`, place);
}

function checkLanguage(value: unknown, name: string, place: string): string {
  if (typeof value !== 'string' || !languageTag.test(value))
    throw malformed(place, name, 'a language tag', value);
  return value;
}

function parseTexts(value: unknown, name: string, place: string): string[] {
  if (!Array.isArray(value)) throw malformed(place, name, 'an array of texts', value);
  return value.map((text, n) => parseText(text, `${name}[${n}]`, place));
}

function parseText(value: unknown, name: string, place: string): string {
  if (typeof value !== 'string' || value.trim() === '')
    throw malformed(place, name, 'a non-empty text', value);
  return value;
}
