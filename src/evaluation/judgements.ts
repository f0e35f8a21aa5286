import { z } from 'zod';
import { checkOptions } from '../checked_options.js';
import { invalidArgument } from '../errors.js';
import type { JudgedRanking } from './measures/measure.js';
import { compareIds } from './ranking_order.js';

/** Query id -> document id -> grade, a whole number. Positive is relevant; 0 and negative are judged not to be. */
export type Qrels = ReadonlyMap<string, ReadonlyMap<string, number>>;

/** Query id -> document id -> score, the higher the better. */
export type Run = ReadonlyMap<string, ReadonlyMap<string, number>>;

export interface JudgedRun {
  /** Every query of the qrels, in their order; one that the run lacks retrieved nothing and scores 0. */
  rankings: Map<string, JudgedRanking>;
  /** Queries of the qrels that the run lacks. pytrec_eval leaves them out of its means; ir_measures counts 0. */
  missingQueries: string[];
  /** Queries of the run that have no qrels: not measured. */
  unjudgedQueries: string[];
}

/** Plain objects, as pytrec_eval takes them, to the maps used here. */
export function mapOfMaps(object: Record<string, Record<string, number>>): Map<string, Map<string, number>> {
  return new Map(
    Object.entries(object).map(([query, documents]) => [query, new Map(Object.entries(documents))]),
  );
}

const table = z.custom((value) => value instanceof Map, 'a map of maps');
const tables = z.object({ run: table, qrels: table });

/** Ranks a run as pytrec_eval does and keeps where the relevant documents stand. Throws INVALID_ARGUMENT. */
export function judgeRun(run: Run, qrels: Qrels): JudgedRun {
  checkOptions(tables, { run, qrels });
  const rankings = new Map<string, JudgedRanking>();
  for (const [query, grades] of qrels)
    rankings.set(query, judgeQuery(query, run.get(query) ?? new Map(), grades));
  return {
    rankings,
    missingQueries: [...qrels.keys()].filter((query) => !run.has(query)),
    unjudgedQueries: [...run.keys()].filter((query) => !qrels.has(query)),
  };
}

function judgeQuery(query: string, scores: ReadonlyMap<string, number>, grades: ReadonlyMap<string, number>) {
  const hits: RankedGrade[] = [];
  rankDocuments(query, scores).forEach((document, position) => {
    const grade = grades.get(document) ?? 0;
    if (grade > 0) hits.push({ rank: position + 1, grade });
  });
  return judgedRanking(hits, relevantGrades(query, grades));
}

/** Documents by float32 score, descending, then by id, descending: trec_eval's order, since it stores a float. */
export function rankDocuments(query: string, scores: ReadonlyMap<string, number>): string[] {
  const documents = [...scores].map(([id, score]) => ({ id, score: Math.fround(score) }));
  for (const { id, score } of documents) {
    if (Number.isNaN(score))
      throw invalidArgument(`score of document ${id} for query ${query}`, 'a number', score);
  }
  documents.sort((a, b) => (a.score === b.score ? compareIds(b.id, a.id) : b.score > a.score ? 1 : -1));
  return documents.map(({ id }) => id);
}

/** The positive grades, descending. Throws INVALID_ARGUMENT for a grade that is not a whole number. */
function relevantGrades(query: string, grades: ReadonlyMap<string, number>): Float64Array {
  for (const [document, grade] of grades) requireGrade(query, document, grade);
  return Float64Array.from([...grades.values()].filter((grade) => grade > 0))
    .sort()
    .reverse();
}

/** Throws INVALID_ARGUMENT for a grade that is not a whole number. */
export function requireGrade(query: string, document: string, grade: number): void {
  if (Number.isSafeInteger(grade)) return;
  throw invalidArgument(`grade of document ${document} for query ${query}`, 'a whole number', grade);
}

export interface RankedGrade {
  rank: number;
  grade: number;
}

/** One query's retrieved relevant documents, in any order, with the grades of all its relevant ones, descending. */
export function judgedRanking(hits: RankedGrade[], allGrades: ArrayLike<number>): JudgedRanking {
  hits.sort((a, b) => a.rank - b.rank);
  return {
    ranks: Int32Array.from(hits, ({ rank }) => rank),
    grades: Float64Array.from(hits, ({ grade }) => grade),
    relevantGrades: allGrades,
  };
}
