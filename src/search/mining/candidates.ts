import { z } from 'zod';
import { normalizeText, SharedTexts } from '../../batches/shared_texts.js';
import { checkOptions, listSchema } from '../../checked_options.js';
import type { ParallelRecord } from '../../datasets/records.js';

const schema = z.object({ records: listSchema, languages: z.array(z.string()) });

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
  readonly #shared: SharedTexts;

  /** Throws INVALID_ARGUMENT. */
  constructor(records: readonly ParallelRecord[], languages: readonly string[]) {
    checkOptions(schema, { records, languages });
    this.#own = records.map(({ positive }) =>
      languages.flatMap((language) =>
        positive[language] === undefined ? [] : [this.#add(positive[language], language)],
      ),
    );
    this.#shared = SharedTexts.among(records);
  }

  /** Row of a record's positive. */
  rowOf(text: string, language: string): number {
    return this.#rows.get(keyOf(text, language))!;
  }

  /** Rows that may answer a record's query: its positives, and those of records that share a text with it. */
  answers(record: number): Set<number> {
    const rows = new Set(this.#own[record]!);
    for (const text of this.#shared.of(record)) {
      for (const other of this.#shared.holders(text)) for (const row of this.#own[other]!) rows.add(row);
    }
    return rows;
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
