import type { NativeTrainingBatch } from '../native.js';

/** Place of a process among those that take a step together. */
export interface Part {
  rank: number;
  size: number;
}

/** What the process of this rank holds of n things in order: [first, end). The rule of native/core/share.h. */
export function shareOf(n: number, { rank, size }: Part): [first: number, end: number] {
  return [Math.floor((n * rank) / size), Math.floor((n * (rank + 1)) / size)];
}

type Labels = Pick<
  NativeTrainingBatch,
  'rowWeights' | 'passageGroups' | 'queryLanguages' | 'passageLanguages' | 'teacherScores'
>;

/** Cuts a batch of so many queries and passages down to the share of one process. */
export class Share {
  readonly #queries: [number, number];
  readonly #extras: [number, number];

  constructor(
    private readonly allQueries: number,
    private readonly allPassages: number,
    part: Part,
  ) {
    this.#queries = shareOf(allQueries, part);
    this.#extras = shareOf(allPassages - allQueries, part);
  }

  queries<Item>(all: readonly Item[]): Item[] {
    return all.slice(...this.#queries);
  }

  /** Those of its queries, then its part of the extra ones. */
  passages<Item>(all: readonly Item[]): Item[] {
    const [first, end] = this.#extras;
    return [...this.queries(all), ...all.slice(this.allQueries + first, this.allQueries + end)];
  }

  labels({ rowWeights, passageGroups, queryLanguages, passageLanguages, teacherScores }: Labels): Labels {
    const [first, end] = this.#queries;
    const passages = (all: Int32Array) => Int32Array.from(this.passages([...all]));
    return {
      ...(rowWeights && { rowWeights: rowWeights.slice(first, end) }),
      ...(passageGroups && { passageGroups: passages(passageGroups) }),
      ...(queryLanguages && { queryLanguages: queryLanguages.slice(first, end) }),
      ...(passageLanguages && { passageLanguages: passages(passageLanguages) }),
      ...(teacherScores && {
        teacherScores: teacherScores.slice(first * this.allPassages, end * this.allPassages),
      }),
    };
  }
}
