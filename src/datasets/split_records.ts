import { createHash } from 'node:crypto';
import { invalidArgument } from '../errors.js';
import type { ParallelRecord } from './records.js';

export interface SplitOptions {
  /** Expected share of the records that is held out, between 0 and 1. */
  testShare: number;
  seed: number;
}

/**
 * Splits by a hash of seed and id: a record's side depends on nothing else, neither on the order nor on which
 * other records are there. Both sides keep the order. Throws INVALID_ARGUMENT.
 */
export function splitRecords(
  records: readonly ParallelRecord[],
  { testShare, seed }: SplitOptions,
): { train: ParallelRecord[]; test: ParallelRecord[] } {
  if (!(testShare >= 0 && testShare <= 1))
    throw invalidArgument('testShare', 'a number from 0 to 1', testShare);
  if (!Number.isSafeInteger(seed)) throw invalidArgument('seed', 'an integer', seed);
  const train: ParallelRecord[] = [];
  const test: ParallelRecord[] = [];
  for (const record of records) (unitHash(seed, record.id) < testShare ? test : train).push(record);
  return { train, test };
}

/** Uniform in [0, 1): the first 48 bits of SHA-256. */
function unitHash(seed: number, id: string): number {
  return createHash('sha256').update(`${seed}\n${id}`).digest().readUIntBE(0, 6) / 2 ** 48;
}
