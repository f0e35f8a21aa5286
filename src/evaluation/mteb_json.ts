import { invalidArgument } from '../errors.js';
import { bitextMeasures } from './evaluate_bitext.js';
import { similarityMeasures } from './evaluate_similarity.js';
import { mtebLanguage } from './language_codes.js';
import { averagePrecision } from './measures/ap.js';
import type { Measure } from './measures/measure.js';
import { ndcg } from './measures/ndcg.js';
import { parseMeasure } from './measures/parse.js';
import { precision } from './measures/precision.js';
import { recall } from './measures/recall.js';
import { reciprocalRank } from './measures/rr.js';
import type { EvaluationResult } from './results.js';
import type { MtebNames } from './tasks/entry.js';

const cutoffs = [1, 3, 5, 10, 20, 100, 1000];

/** MTEB's main score for each kind of task. */
const mainMeasures: Record<EvaluationResult['kind'], string> = {
  retrieval: 'nDCG@10',
  collection: 'nDCG@10',
  bitext: 'F1',
  similarity: 'Spearman',
};

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
  /** MTEB's names for the task. Default: the result's own, split 'test'. */
  names?: MtebNames | undefined;
  evaluationSeconds: number;
  /** Model, revision, prompts, lengths, versions; MTEB's reader leaves it alone. */
  run?: Record<string, unknown> | undefined;
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
  xlembed?: Record<string, unknown>;
}

/**
 * Lays a result out as an MTEB result file. Subsets are named de (monolingual), de-en (queries in German, passages in
 * English) and de-multilingual (one pool of all languages), or as MTEB names the task's. Throws INVALID_ARGUMENT when
 * MTEB's main score (nDCG@10, F1 or Spearman) was not measured.
 */
export function mtebResult(result: EvaluationResult, options: MtebOptions): MtebResult {
  const { grid, pool, languages, kind } = result;
  const { names } = options;
  const subset = names?.subset ?? ((query, passage) => (query === passage ? query : `${query}-${passage}`));
  const scoresOf = (name: string, of: string[], measures: Record<string, number>) =>
    mtebScores(name, [...new Set(of)], measures, mainMeasures[kind]);
  const scores = [
    ...grid.map(({ queryLanguage, passageLanguage, measures }) =>
      scoresOf(subset(queryLanguage, passageLanguage), [queryLanguage, passageLanguage], measures),
    ),
    ...pool.map(({ queryLanguage, measures }) =>
      scoresOf(`${queryLanguage}-multilingual`, [queryLanguage, ...languages], measures),
    ),
  ];
  return {
    dataset_revision: options.datasetRevision,
    task_name: names?.task ?? result.task,
    mteb_version: options.mtebVersion,
    scores: { [names?.split ?? 'test']: scores },
    evaluation_time: options.evaluationSeconds,
    kg_co2_emissions: null,
    ...(options.run && { xlembed: options.run }),
  };
}

const otherKeys = new Map([...bitextMeasures, ...similarityMeasures].map(({ name, key }) => [name, key]));

function mtebScores(
  subset: string,
  languages: string[],
  measures: Record<string, number>,
  main: string,
): MtebScores {
  const mainScore = measures[main];
  if (mainScore === undefined) {
    const hint = 'a correlation is not defined where all grades or all similarities are equal';
    const given = Object.keys(measures).join(', ');
    throw invalidArgument(
      `measures of ${subset}`,
      `${main} among them`,
      given,
      main === 'Spearman' ? hint : '',
    );
  }
  const key = (name: string) => otherKeys.get(name) ?? parseMeasure(name).key;
  return {
    ...Object.fromEntries(Object.entries(measures).map(([name, value]) => [key(name), value])),
    main_score: mainScore,
    hf_subset: subset,
    languages: languages.map(mtebLanguage),
  };
}
