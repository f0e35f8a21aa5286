import { invalidArgument } from '../errors.js';
import { mtebLanguage } from './language_codes.js';
import { averagePrecision } from './measures/ap.js';
import type { Measure } from './measures/measure.js';
import { ndcg } from './measures/ndcg.js';
import { parseMeasure } from './measures/parse.js';
import { precision } from './measures/precision.js';
import { recall } from './measures/recall.js';
import { reciprocalRank } from './measures/rr.js';
import type { EvaluationResult } from './results.js';

const cutoffs = [1, 3, 5, 10, 20, 100, 1000];
const mainMeasure = ndcg(10);

/** What MTEB measures for retrieval: nDCG, AP, R, P and RR at 1, 3, 5, 10, 20, 100 and 1000. */
export function mtebMeasures(): Measure[] {
  return [ndcg, averagePrecision, recall, precision, reciprocalRank].flatMap((make) =>
    cutoffs.map((k) => make(k)),
  );
}

export interface MtebOptions {
  /** Commit or version of the data. */
  datasetRevision: string;
  mtebVersion: string;
  /** Default 'test'. */
  split?: string;
  evaluationSeconds: number;
}

/** One setting's scores: the measures by MTEB's keys, and what they were measured on. */
export interface MtebScores {
  [measure: string]: number | string | string[];
  main_score: number;
  hf_subset: string;
  languages: string[];
}

/** An MTEB result file, ready for JSON. */
export interface MtebResult {
  dataset_revision: string;
  task_name: string;
  mteb_version: string;
  scores: Record<string, MtebScores[]>;
  evaluation_time: number;
  kg_co2_emissions: null;
}

/**
 * Lays a result out as an MTEB result file. Subsets are named de (monolingual), de-en (queries in German, passages in
 * English) and de-multilingual (one pool of all languages). Throws INVALID_ARGUMENT when nDCG@10, MTEB's main score,
 * was not measured.
 */
export function mtebResult(result: EvaluationResult, options: MtebOptions): MtebResult {
  const { grid, pool, languages } = result;
  const scores = [
    ...grid.map(({ queryLanguage, passageLanguage, measures }) =>
      queryLanguage === passageLanguage
        ? mtebScores(queryLanguage, [queryLanguage], measures)
        : mtebScores(`${queryLanguage}-${passageLanguage}`, [queryLanguage, passageLanguage], measures),
    ),
    ...pool.map(({ queryLanguage, measures }) =>
      mtebScores(`${queryLanguage}-multilingual`, [...new Set([queryLanguage, ...languages])], measures),
    ),
  ];
  return {
    dataset_revision: options.datasetRevision,
    task_name: result.task,
    mteb_version: options.mtebVersion,
    scores: { [options.split ?? 'test']: scores },
    evaluation_time: options.evaluationSeconds,
    kg_co2_emissions: null,
  };
}

function mtebScores(subset: string, languages: string[], measures: Record<string, number>): MtebScores {
  const mainScore = measures[mainMeasure.name];
  if (mainScore === undefined) {
    throw invalidArgument('measures', `${mainMeasure.name} among them`, Object.keys(measures).join(', '));
  }
  return {
    ...Object.fromEntries(Object.entries(measures).map(([name, value]) => [parseMeasure(name).key, value])),
    main_score: mainScore,
    hf_subset: subset,
    languages: languages.map(mtebLanguage),
  };
}
