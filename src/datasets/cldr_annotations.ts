import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { invalidArgument } from '../errors.js';
import { fileError } from '../files/file_error.js';
import { resolveInPackage } from './optional_package.js';
import type { ParallelRecord } from './records.js';

/** symbol -> its spoken name (one, in `tts`) and its keywords. */
type Annotations = Record<string, { default?: string[]; tts?: string[] }>;

const packageName = 'cldr-annotations-full';

/**
 * Unicode's names and keywords of some 2,000 symbols, parallel by symbol: id is the symbol, the query its name, the
 * positive its keywords joined by ", ", the name itself left out. A language in which nothing is left of a symbol
 * is not in that record. Languages are the package's folders (en, de, zh-Hant). Source: Unicode CLDR, from the npm
 * package cldr-annotations-full. Throws PACKAGE_MISSING and INVALID_ARGUMENT.
 */
export async function readCldrAnnotations(languages: readonly string[]): Promise<ParallelRecord[]> {
  const folder = join(dirname(resolveInPackage(packageName, `${packageName}/package.json`)), 'annotations');
  const records = new Map<string, ParallelRecord>();
  for (const language of new Set(languages)) {
    const annotations = await readAnnotations(folder, language);
    for (const [symbol, annotation] of Object.entries(annotations)) {
      addLanguage(records, symbol, language, annotation);
    }
  }
  return [...records.values()];
}

function addLanguage(
  records: Map<string, ParallelRecord>,
  symbol: string,
  language: string,
  { tts, default: keywords = [] }: Annotations[string],
): void {
  const name = tts?.[0]?.trim();
  if (!name) return;
  const others = separateKeywords(keywords).filter((keyword) => !sameText(keyword, name));
  if (others.length === 0) return;
  const record = records.get(symbol) ?? { id: symbol, query: {}, positive: {} };
  record.query[language] = name;
  record.positive[language] = others.join(', ');
  records.set(symbol, record);
}

/** A few entries hold several keywords with commas between; the same keyword may come twice then. */
function separateKeywords(keywords: readonly string[]): string[] {
  const separate = keywords.flatMap((entry) => entry.split(/[,،，]/)).map((keyword) => keyword.trim());
  return [...new Set(separate)].filter((keyword) => keyword !== '');
}

function sameText(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase();
}

async function readAnnotations(folder: string, language: string): Promise<Annotations> {
  if (!/^[A-Za-z]+(-[A-Za-z0-9]+)*$/.test(language)) throw unknownLanguage(language);
  const path = join(folder, language, 'annotations.json');
  try {
    const file = JSON.parse(await readFile(path, 'utf8')) as { annotations: { annotations: Annotations } };
    return file.annotations.annotations;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') throw unknownLanguage(language);
    throw fileError(path, cause);
  }
}

function unknownLanguage(language: string) {
  return invalidArgument('languages', `languages of ${packageName}`, language, 'such as en, de or zh-Hant');
}
