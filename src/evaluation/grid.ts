import { invalidArgument } from '../errors.js';
import { FlatIndex } from '../search/flat_index.js';
import { CandidatePool, type PoolOptions } from './candidate_pool.js';
import { type EmbeddedTexts, validateEmbeddedTexts } from './embedded_texts.js';
import type { Qrels } from './judgements.js';
import { languageBias } from './language_bias.js';
import { averagePrecision } from './measures/ap.js';
import { type JudgedRanking, type Measure, meanScore } from './measures/measure.js';
import { ndcg } from './measures/ndcg.js';
import { recall } from './measures/recall.js';
import { reciprocalRank } from './measures/rr.js';
import type { RankingIndexFactory, Similarity } from './ranking_index.js';
import type { EvaluationResult, GridCell, PoolRow, QueryScores } from './results.js';
import { summarize, summarizeGroup } from './summary.js';

/** One language's share of a task: queries (Nq, D) and candidates (Nc, D). */
export interface GridLanguage {
  language: string;
  queries: EmbeddedTexts;
  candidates: EmbeddedTexts;
}

/** Query ids name the same question in every language; candidate ids are unique over all languages. */
export interface GridInput {
  task: string;
  dimensions: number;
  languages: readonly GridLanguage[];
  qrels: Qrels;
}

export interface GridOptions {
  /** Default: the exact index of this package, on the CPU. */
  createIndex?: RankingIndexFactory | undefined;
  /** Default 'cosine'. */
  similarity?: Similarity | undefined;
  /** Default AP, RR, R@1, R@10, R@100, nDCG@10. */
  measures?: readonly Measure[] | undefined;
  /** Name -> languages: the averages are given over each group too. */
  groups?: Record<string, readonly string[]> | undefined;
  /** Keep every query's score of every setting. Default false. */
  keepQueryScores?: boolean | undefined;
  /** Called after each ranked setting: L x L of the grid, then L of the pool. */
  onSetting?: ((done: number, total: number) => void) | undefined;
}

/** Ranks that the shares of the languages are taken over. */
const sharesCutoff = 10;

/** The measures of the paper and of MTEB's main score. */
export function defaultMeasures(): Measure[] {
  return [averagePrecision(), reciprocalRank(), recall(1), recall(10), recall(100), ndcg(10)];
}

/**
 * Measures retrieval in every setting of a multilingual task: monolingual (X, X), cross-lingual (X, Y) and
 * multilingual (X against one pool of all languages), as in arXiv 2408.10536. Exact; ranks come from the index.
 * Throws INVALID_ARGUMENT and DIMENSION_MISMATCH for embeddings that do not fit.
 */
export async function evaluateGrid(input: GridInput, options: GridOptions): Promise<EvaluationResult> {
  validate(input);
  const { languages } = input;
  const { similarity = 'cosine', measures = defaultMeasures() } = options;
  const run = new SettingRun(input, options, similarity, measures);
  const grid: GridCell[] = [];
  for (const { language, candidates } of languages) grid.push(...(await run.cells(language, candidates)));
  const pool = await run.poolRows();
  const names = languages.map(({ language }) => language);
  grid.sort((a, b) => names.indexOf(a.queryLanguage) - names.indexOf(b.queryLanguage));
  return {
    kind: 'retrieval',
    task: input.task,
    languages: names,
    dimensions: input.dimensions,
    similarity,
    counts: countTexts(languages),
    measures: summarize(grid, pool, measures),
    groups: Object.fromEntries(
      Object.entries(options.groups ?? {}).map(([name, group]) => [
        name,
        summarizeGroup(group, names, grid, pool, measures),
      ]),
    ),
    grid,
    pool,
  };
}

const createFlatIndex: RankingIndexFactory = (dimensions) => FlatIndex.create({ dimensions });

/** Ranks one setting after the other and counts them. */
class SettingRun {
  #done = 0;
  readonly #poolOptions: PoolOptions;

  constructor(
    readonly input: GridInput,
    readonly options: GridOptions,
    similarity: Similarity,
    readonly measures: readonly Measure[],
  ) {
    const { createIndex = createFlatIndex } = options;
    this.#poolOptions = { createIndex, dimensions: input.dimensions, similarity };
  }

  /** All query languages against the candidates of one language. */
  async cells(passageLanguage: string, candidates: EmbeddedTexts): Promise<GridCell[]> {
    const settings = await this.#rankAll([candidates], async () => undefined);
    return settings.map(({ queryLanguage, rankings }) => ({
      queryLanguage,
      passageLanguage,
      ...this.#score(rankings),
    }));
  }

  /** All query languages against the candidates of all languages. */
  async poolRows(): Promise<PoolRow[]> {
    const names = this.input.languages.map(({ language }) => language);
    const settings = await this.#rankAll(
      this.input.languages.map(({ candidates }) => candidates),
      (pool, queries) => pool.shares(queries, names.length, sharesCutoff),
    );
    return settings.map(({ queryLanguage, rankings, extra: shares }) => {
      const bias = languageBias(rankings.values());
      return {
        queryLanguage,
        ...this.#score(rankings),
        ...(bias === undefined ? {} : { languageBias: bias }),
        languageShares: Object.fromEntries(names.map((name, i) => [name, shares[i]!])),
      };
    });
  }

  /** Settings without a judged query are left out: they have no mean. */
  async #rankAll<Extra>(
    candidates: readonly EmbeddedTexts[],
    more: (pool: CandidatePool, queries: EmbeddedTexts) => Promise<Extra>,
  ) {
    const { languages, qrels } = this.input;
    const settings: { queryLanguage: string; rankings: Map<string, JudgedRanking>; extra: Extra }[] = [];
    const pool = await CandidatePool.build(candidates, this.#poolOptions);
    try {
      for (const { language, queries } of languages) {
        const rankings = await pool.rank(queries, qrels);
        if (rankings.size > 0)
          settings.push({ queryLanguage: language, rankings, extra: await more(pool, queries) });
        this.options.onSetting?.(++this.#done, languages.length * (languages.length + 1));
      }
    } finally {
      pool.dispose();
    }
    return settings;
  }

  #score(rankings: Map<string, JudgedRanking>) {
    return settingScores(rankings, this.measures, this.options.keepQueryScores);
  }
}

/** What a cell or row holds of the rankings of its queries. */
export function settingScores(
  rankings: Map<string, JudgedRanking>,
  measures: readonly Measure[],
  keepQueryScores = false,
): Pick<GridCell, 'queries' | 'measures' | 'queryScores'> {
  return {
    queries: rankings.size,
    measures: Object.fromEntries(
      measures.map((measure) => [measure.name, meanScore(measure, rankings.values())]),
    ),
    ...(keepQueryScores ? { queryScores: queryScores(measures, rankings) } : {}),
  };
}

function queryScores(measures: readonly Measure[], rankings: Map<string, JudgedRanking>): QueryScores {
  const judged = [...rankings.values()];
  return {
    ids: [...rankings.keys()],
    scores: Object.fromEntries(
      measures.map((measure) => [measure.name, judged.map((ranking) => measure.score(ranking))]),
    ),
  };
}

function countTexts(languages: readonly GridLanguage[]): EvaluationResult['counts'] {
  const count = (side: 'queries' | 'candidates') =>
    Object.fromEntries(languages.map((entry) => [entry.language, entry[side].ids.length]));
  return { queries: count('queries'), candidates: count('candidates') };
}

function validate({ languages, dimensions }: GridInput): void {
  if (!(Number.isSafeInteger(dimensions) && dimensions >= 1)) {
    throw invalidArgument('dimensions', 'a whole number of at least 1', dimensions);
  }
  if (languages.length === 0) throw invalidArgument('languages', 'at least one language', languages);
  for (const { language, queries, candidates } of languages) {
    validateEmbeddedTexts(`queries of ${language}`, queries, dimensions);
    validateEmbeddedTexts(`candidates of ${language}`, candidates, dimensions);
    const distinct = new Set(queries.ids);
    if (distinct.size !== queries.ids.length) {
      throw invalidArgument(
        `query ids of ${language}`,
        'every id once',
        `${queries.ids.length - distinct.size} repeated`,
      );
    }
  }
}
