/** Language of a text whose record names none (BCP 47 "undetermined"). */
export const UNDETERMINED = 'und';

/**
 * One question with its answer, known in one or more languages. Every query of a record is answered by every
 * positive of it, whatever the languages. A flat pair is a record with one language on each side.
 */
export interface ParallelRecord {
  id: string;
  /** Language -> text. */
  query: Record<string, string>;
  /** Language -> text. */
  positive: Record<string, string>;
  /** Names the positive where several records have the same one in other words or languages. */
  positiveId?: string;
  /** Hard negatives: language -> texts. */
  negatives?: Record<string, string[]>;
  /** A teacher's scores of the positive, by its language, for distillation. */
  positiveScores?: Record<string, number>;
  /** A teacher's scores of the negatives, in the shape of `negatives`. */
  negativeScores?: Record<string, number[]>;
}
