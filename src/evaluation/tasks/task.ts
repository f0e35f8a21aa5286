import type { Qrels } from '../judgements.js';

export interface TaskText {
  id: string;
  text: string;
}

/** A benchmark, read and checked; `kind` says how it is measured. */
export type Task = RetrievalTask | CollectionTask | BitextTask | SimilarityTask;

/** Retrieval within and across languages, over texts that fit in memory. */
export interface RetrievalTask {
  readonly kind: 'retrieval';
  readonly name: string;
  /** In alphabetical order. */
  readonly languages: readonly string[];
  /** Query ids name the same question in every language. Throws INVALID_ARGUMENT for a language it lacks. */
  queries(language: string): readonly TaskText[];
  /** Candidate ids are unique over all languages; equal texts keep separate ids. Throws like `queries`. */
  candidates(language: string): readonly TaskText[];
  /** Query id -> candidate id -> grade, over all languages. */
  readonly qrels: Qrels;
}

/** Retrieval in one collection for each language, which may be larger than memory. */
export interface CollectionTask {
  readonly kind: 'collection';
  readonly name: string;
  readonly languages: readonly string[];
  open(language: string): Promise<Collection>;
}

export interface Collection {
  queries: readonly TaskText[];
  qrels: Qrels;
  /** How many passages the source publishes; undefined where that is not known beforehand. */
  published: number | undefined;
  /** The passages in the order of the files. A full pass checks their number against `published`. */
  passages(): AsyncIterable<TaskText>;
  /** The passages' files. */
  files: readonly string[];
  /** A passage with the query's own id is no result: in some data sets the queries are passages themselves. */
  ignoreOwnId: boolean;
}

/** Sentences and their translations. */
export interface BitextTask {
  readonly kind: 'bitext';
  readonly name: string;
  readonly languages: readonly string[];
  /** Each pair of languages once; it is measured in both directions. */
  readonly pairs: readonly BitextPair[];
  /** Of texts that all languages share: the language whose pairs are measured unless all are asked for. */
  readonly pivot?: string;
}

export interface BitextPair {
  source: string;
  target: string;
  read(): Promise<ParallelSentences>;
}

/** Sentence i of one side is the translation of sentence i of the other. */
export interface ParallelSentences {
  /** Names of the sentences: equal ones name the same sentence in other pairs too. */
  ids: readonly string[];
  source: readonly string[];
  target: readonly string[];
}

/** Pairs of texts that people have graded for likeness of meaning. */
export interface SimilarityTask {
  readonly kind: 'similarity';
  readonly name: string;
  readonly languages: readonly string[];
  readonly sets: readonly SimilaritySet[];
}

export interface SimilaritySet {
  source: string;
  target: string;
  read(): Promise<GradedPairs>;
}

export interface GradedPairs {
  first: readonly string[];
  second: readonly string[];
  /** The higher the more alike, on any scale. */
  grades: readonly number[];
}
