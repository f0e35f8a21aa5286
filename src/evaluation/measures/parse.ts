import { invalidArgument } from '../../errors.js';
import { averagePrecision } from './ap.js';
import type { Measure } from './measure.js';
import { ndcg } from './ndcg.js';
import { precision } from './precision.js';
import { recall } from './recall.js';
import { reciprocalRank } from './rr.js';
import { success } from './success.js';

const needsNoCutoff: Record<string, (cutoff?: number) => Measure> = {
  AP: averagePrecision,
  RR: reciprocalRank,
  nDCG: ndcg,
};
const needsCutoff: Record<string, (cutoff: number) => Measure> = {
  R: recall,
  P: precision,
  Success: success,
};

/** The other spellings that ir_measures takes. */
const aliases: Record<string, string> = { MAP: 'AP', MRR: 'RR', NDCG: 'nDCG', Recall: 'R', Precision: 'P' };

const expected = `a measure such as nDCG@10, AP, AP@1000, RR, RR@10, R@100, P@5 or Success@1`;

/** Reads a measure from its name, as `Measure.name` prints it. Throws INVALID_ARGUMENT. */
export function parseMeasure(name: string): Measure {
  const match = /^([A-Za-z]+)(?:@([1-9][0-9]*))?$/.exec(name);
  const symbol = match ? (own(aliases, match[1]!) ?? match[1]!) : '';
  const cutoff = match?.[2] === undefined ? undefined : Number(match[2]);
  const measure =
    own(needsNoCutoff, symbol)?.(cutoff) ??
    (cutoff === undefined ? undefined : own(needsCutoff, symbol)?.(cutoff));
  if (!measure) throw invalidArgument('measure', expected, name);
  return measure;
}

function own<T>(table: Record<string, T>, name: string): T | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}
