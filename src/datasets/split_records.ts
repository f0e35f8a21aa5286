import { createHash } from 'node:crypto';
import { z } from 'zod';
import { checkOptions, listSchema } from '../checked_options.js';
import type { ParallelRecord } from './records.js';

export interface SplitOptions {
  /** Expected share of the records that is held out, between 0 and 1. */
  testShare: number;
  seed: number;
}

const schema = z.strictObject({ testShare: z.number().min(0).max(1), seed: z.int() });

/**
 * Splits by a hash of seed and id: a record's side depends on nothing else, neither on the order nor on which
 * other records are there. Both sides keep the order. Throws INVALID_ARGUMENT.
 */
export function splitRecords(
  records: readonly ParallelRecord[],
  options: SplitOptions,
): { train: ParallelRecord[]; test: ParallelRecord[] } {
  checkOptions(z.object({ records: listSchema }), { records });
  checkOptions(schema, options);
  const { testShare, seed } = options;
  const train: ParallelRecord[] = [];
  const test: ParallelRecord[] = [];
  for (const record of records) (unitHash(seed, record.id) < testShare ? test : train).push(record);
  return { train, test };
}

/** Uniform in [0, 1): the first 48 bits of SHA-256. */
function unitHash(seed: number, id: string): number {
  return createHash('sha256').update(`${seed}\n${id}`).digest().readUIntBE(0, 6) / 2 ** 48;
}
