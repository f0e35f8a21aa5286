/** One step of training; loss and in-batch accuracy of that step alone, unsmoothed. */
export interface LossPoint {
  step: number;
  loss: number;
  /** Share of the batch's queries whose positive scored highest, 0..1. */
  accuracy: number;
}

/** A step of one run, with what else is drawn of it. */
export interface TrainingPoint extends LossPoint {
  learningRate?: number;
  /** Share of the words that code switching replaced, 0..1; absent without it. */
  switchRate?: number;
}

/** What was measured during training. */
export interface ValidationPoint {
  step: number;
  measures: Record<string, number>;
}

/** One setting: queries of one language against passages of one language. */
export interface GridCell {
  queryLanguage: string;
  passageLanguage: string;
  queries: number;
  /** At least `map`. */
  measures: Record<string, number>;
}

export interface EvaluationSummary {
  /** Measure -> value, macro-averaged over settings, e.g. `cross_lingual_map`, `language_bias`. */
  measures: Record<string, number>;
  grid: GridCell[];
}

/** One way of training, and what came of it. */
export interface RegimeResult {
  /** `untrained`, `monolingual`, `cross_lingual`, `hybrid`, or a name of one's own; unique. */
  name: string;
  /** Null where nothing was trained. */
  sampler: string | null;
  /** Probability of a monolingual batch; null where there was no choice. */
  alpha: number | null;
  steps: number;
  lossCurve: LossPoint[];
  /** Seconds. */
  trainSeconds: number;
  /** Kind of text, e.g. `cldr` or `udhr` -> what was measured on it. */
  evaluations: Record<string, EvaluationSummary>;
}

/** One query, and the first passages found for it, best first. */
export interface SearchExample {
  query: string;
  queryLanguage: string;
  /** Name of the regime whose model searched. Examples of the same query are shown side by side. */
  regime?: string;
  results: SearchResult[];
}

export interface SearchResult {
  text: string;
  language: string;
  score: number;
  /** True if the passage answers the query. */
  correct: boolean;
}

/** What every report says of its origin. */
export interface RunFacts {
  title: string;
  /** ISO 8601. */
  createdAt: string;
  /** The command line that gives these results again. */
  command: string;
  settings: Record<string, unknown>;
  /** Software or hardware -> version or name. */
  versions: Record<string, string>;
  /** Part of the work -> seconds. */
  times: Record<string, number>;
  languages: { trained: string[]; zeroShot: string[] };
}

/** Several regimes, compared on the same texts. */
export interface ExperimentResults extends RunFacts {
  /** Kind of text -> measure -> what random rankings score. */
  chance: Record<string, Record<string, number>>;
  regimes: RegimeResult[];
  examples: SearchExample[];
}

/** One training run. */
export interface TrainingResults extends RunFacts {
  run: Pick<RegimeResult, 'name' | 'sampler' | 'alpha' | 'steps' | 'trainSeconds'> & {
    lossCurve: TrainingPoint[];
    validations?: ValidationPoint[];
  };
  /** What a reader must know: truncated texts, short batches, skipped steps. */
  notes: string[];
}
