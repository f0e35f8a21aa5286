import { findSharedTexts, normalizeText } from '../../batches/shared_texts.js';
import type { ParallelRecord } from '../../datasets/records.js';

/** A passage that may become a negative: equal texts of one language are one candidate. */
export interface Candidate {
  text: string;
  language: string;
}

/** All positives of a data set as candidates, and which of them answer which record. */
export class CandidatePool {
  readonly candidates: Candidate[] = [];
  /** Language -> rows of its candidates. */
  readonly byLanguage = new Map<string, number[]>();
  readonly #rows = new Map<string, number>();
  readonly #own: number[][];
  readonly #relatives: Map<number, number[]>;

  constructor(records: readonly ParallelRecord[], languages: readonly string[]) {
    this.#own = records.map(({ positive }) =>
      languages.flatMap((language) =>
        positive[language] === undefined ? [] : [this.#add(positive[language], language)],
      ),
    );
    this.#relatives = relativesOf(records);
  }

  /** Row of a record's positive. */
  rowOf(text: string, language: string): number {
    return this.#rows.get(keyOf(text, language))!;
  }

  /** Rows that may answer a record's query: its positives, and those of records that share a text with it. */
  answers(record: number): Set<number> {
    const others = (this.#relatives.get(record) ?? []).flatMap((other) => this.#own[other]!);
    return new Set([...this.#own[record]!, ...others]);
  }

  #add(text: string, language: string): number {
    const key = keyOf(text, language);
    const known = this.#rows.get(key);
    if (known !== undefined) return known;
    const row = this.candidates.push({ text, language }) - 1;
    this.#rows.set(key, row);
    const rows = this.byLanguage.get(language);
    if (rows) rows.push(row);
    else this.byLanguage.set(language, [row]);
    return row;
  }
}

const keyOf = (text: string, language: string) => `${language}\n${normalizeText(text)}`;

/** Record -> the other records with a query, a positive or the id of a positive in common. */
function relativesOf(records: readonly ParallelRecord[]): Map<number, number[]> {
  const { offsets, hashes } = findSharedTexts(records);
  const having = new Map<number, number[]>();
  const each = (visit: (record: number, hash: number) => void) => {
    for (let record = 0; record < records.length; record++) {
      for (let i = offsets[record]!; i < offsets[record + 1]!; i++) visit(record, hashes[i]!);
    }
  };
  each((record, hash) => {
    const list = having.get(hash);
    if (list) list.push(record);
    else having.set(hash, [record]);
  });
  const relatives = new Map<number, Set<number>>();
  each((record, hash) => {
    const found = relatives.get(record) ?? new Set();
    for (const other of having.get(hash)!) if (other !== record) found.add(other);
    relatives.set(record, found);
  });
  return new Map([...relatives].map(([record, others]) => [record, [...others]]));
}
