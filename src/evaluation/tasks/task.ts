import type { Qrels } from '../judgements.js';

export interface TaskText {
  id: string;
  text: string;
}

/** A retrieval benchmark, read and checked. */
export interface RetrievalTask {
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
