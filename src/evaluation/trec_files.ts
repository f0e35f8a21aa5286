import { readLines } from '../datasets/lines.js';
import { XlembedError } from '../errors.js';

/** Query id -> document id -> score or grade, as the run and qrels readers give it. */
export type JudgementTable = Map<string, Map<string, number>>;

interface Entry {
  query: string;
  document: string;
  value: number;
}
type LineParser = (line: string) => Entry | undefined;

/**
 * TREC run: `query Q0 document rank score tag`. Only the score orders the documents: the rank is not read, as in
 * trec_eval. Plain or .gz. Throws MALFORMED_LINE with the line's number, FILE_NOT_FOUND, FILE_READ_FAILED.
 */
export function readTrecRun(path: string): Promise<JudgementTable> {
  return readTable(path, 'query Q0 document rank score tag', (line) => {
    const [query, , document, , score, tag, extra] = fieldsOf(line);
    return tag && extra === undefined ? entry(query, document, parseScore(score!)) : undefined;
  });
}

/** TREC qrels: `query 0 document grade`, the grade a whole number. Plain or .gz. Throws as readTrecRun. */
export function readTrecQrels(path: string): Promise<JudgementTable> {
  return readTable(path, 'query 0 document grade, the grade a whole number', (line) => {
    const [query, , document, grade, extra] = fieldsOf(line);
    return extra === undefined ? entry(query, document, parseGrade(grade)) : undefined;
  });
}

/** BEIR qrels: `query-id corpus-id score` with tabs between, below a header. Plain or .gz. Throws as readTrecRun. */
export function readBeirQrels(path: string): Promise<JudgementTable> {
  const isHeader = (line: string) => line.startsWith('query-id\t');
  return readTable(
    path,
    'query-id corpus-id score with tabs between, the score a whole number',
    (line) => {
      const [query, document, grade, extra] = line.split('\t');
      return extra === undefined ? entry(query, document, parseGrade(grade)) : undefined;
    },
    isHeader,
  );
}

async function readTable(
  path: string,
  expected: string,
  parse: LineParser,
  isHeader: (line: string) => boolean = () => false,
): Promise<JudgementTable> {
  const table: JudgementTable = new Map();
  for await (const { line, number } of readLines(path)) {
    if (line.trim() === '' || (number === 1 && isHeader(line))) continue;
    const parsed = parse(line);
    if (!parsed) throw malformedLine(path, number, `expected ${expected}`, line);
    if (!insert(table, parsed))
      throw malformedLine(path, number, 'expected each document once per query', line);
  }
  return table;
}

/** False when the query has that document already: trec_eval refuses such a file too. */
function insert(table: JudgementTable, { query, document, value }: Entry): boolean {
  const documents = table.get(query) ?? new Map<string, number>();
  if (documents.has(document)) return false;
  table.set(query, documents.set(document, value));
  return true;
}

/** What C's isspace separates: an id may hold any other character, also a no-break space. */
function fieldsOf(line: string): string[] {
  return line.split(/[ \t\v\f\r]+/).filter((field) => field !== '');
}

function entry(query: string | undefined, document: string | undefined, value: number): Entry | undefined {
  return query && document && !Number.isNaN(value) ? { query, document, value } : undefined;
}

function parseScore(text: string): number {
  const infinity = /^([-+]?)inf(inity)?$/i.exec(text);
  return infinity ? Number(`${infinity[1]}Infinity`) : Number(text);
}

function parseGrade(text: string | undefined): number {
  return /^[-+]?[0-9]+$/.test(text?.trim() ?? '') ? Number(text) : Number.NaN;
}

function malformedLine(path: string, number: number, expected: string, line: string): XlembedError {
  const received = JSON.stringify(line.slice(0, 120));
  return new XlembedError('MALFORMED_LINE', `${expected} in ${path} line ${number}, received ${received}`);
}
