import { z } from 'zod';
import { RandomStream } from '../batches/philox.js';
import { checkOptions, seedSchema } from '../checked_options.js';
import { invalidArgument } from '../errors.js';

export interface Interval {
  mean: number;
  low: number;
  high: number;
}

export interface BootstrapOptions {
  /** Default 10,000. */
  resamples?: number | undefined;
  /** Default 0.95. */
  confidence?: number | undefined;
  /** Default 0. */
  seed?: number | undefined;
}

/** Those of the other test may be among them: both are often asked with the same options. */
const bootstrap = z
  .looseObject({ resamples: z.int().min(1), confidence: z.number().gt(0).lt(1), seed: seedSchema })
  .partial();

/**
 * Confidence interval of a mean over queries: the percentile bootstrap (Efron 1979; Sakai 2006 for retrieval). The
 * same seed gives the same interval. Throws INVALID_ARGUMENT for no values or a wrong option.
 */
export function bootstrapInterval(values: readonly number[], options: BootstrapOptions = {}): Interval {
  checkOptions(bootstrap, options);
  const { resamples = 10_000, confidence = 0.95, seed = 0 } = options;
  requireValues('values', values);
  const means = resampledMeans(values, resamples, seed).sort();
  return {
    mean: mean(values),
    low: quantile(means, (1 - confidence) / 2),
    high: quantile(means, (1 + confidence) / 2),
  };
}

export interface PermutationOptions {
  /** Default 10,000. Where all sign patterns are no more than this, each is tried once and p is exact. */
  permutations?: number | undefined;
  /** Default 0. */
  seed?: number | undefined;
}

const permutationTest = z.looseObject({ permutations: z.int().min(1), seed: seedSchema }).partial();

export interface PermutationResult {
  /** Mean of a - b. */
  difference: number;
  /** Two-sided: the chance of a difference at least this large if either system could have given either score. */
  pValue: number;
  exact: boolean;
}

/**
 * Paired permutation (randomisation) test of two systems on the same queries, a[i] and b[i] being their scores on
 * query i (Smucker, Allan and Carterette 2007). A sampled p counts the observed pattern too, so it is never 0.
 */
export function pairedPermutationTest(
  a: readonly number[],
  b: readonly number[],
  options: PermutationOptions = {},
): PermutationResult {
  checkOptions(permutationTest, options);
  const { permutations = 10_000, seed = 0 } = options;
  requireValues('scores', a);
  requireValues('scores of the second system', b);
  if (a.length !== b.length)
    throw invalidArgument('scores of the second system', `${a.length} values`, b.length);
  const differences = a.map((value, i) => value - b[i]!);
  const exact = 2 ** differences.length <= permutations;
  const pValue = exact ? exactP(differences) : sampledP(differences, permutations, new RandomStream(seed, 0));
  return { difference: mean(differences), pValue, exact };
}

function exactP(differences: readonly number[]): number {
  const patterns = 2 ** differences.length;
  const isExtreme = extremeTest(differences);
  let extreme = 0;
  for (let pattern = 0; pattern < patterns; pattern++) {
    extreme += isExtreme(differences.reduce((sum, d, i) => ((pattern >> i) & 1 ? sum - d : sum + d), 0))
      ? 1
      : 0;
  }
  return extreme / patterns;
}

function sampledP(differences: readonly number[], permutations: number, random: RandomStream): number {
  const isExtreme = extremeTest(differences);
  let extreme = 1;
  for (let permutation = 0; permutation < permutations; permutation++) {
    extreme += isExtreme(signFlippedSum(differences, random)) ? 1 : 0;
  }
  return extreme / (permutations + 1);
}

/** One random bit per query. */
function signFlippedSum(differences: readonly number[], random: RandomStream): number {
  let sum = 0;
  let bits = 0;
  for (let i = 0; i < differences.length; i++) {
    bits = i % 32 === 0 ? random.nextUint32() : bits >>> 1;
    sum += bits & 1 ? -differences[i]! : differences[i]!;
  }
  return sum;
}

/** Sums of the same terms in another pattern of signs may differ in their last bits and are equal all the same. */
function extremeTest(differences: readonly number[]): (sum: number) => boolean {
  const observed = Math.abs(differences.reduce((sum, d) => sum + d, 0));
  const tolerance = 1e-12 * differences.reduce((sum, d) => sum + Math.abs(d), 0);
  return (sum) => Math.abs(sum) >= observed - tolerance;
}

/** Rows drawn last, (resamples, N): a comparison of models asks for the same ones again and again. */
let drawn = { size: 0, resamples: 0, seed: 0, rows: new Uint32Array(0) };
/** Drawn rows that are kept; more would cost more memory than the time they save. */
const mostDrawn = 2 ** 25;

function resampledMeans(values: readonly number[], resamples: number, seed: number): Float64Array {
  const size = values.length;
  const random = new RandomStream(seed, 0);
  if (size * resamples > mostDrawn) return meansOf(values, resamples, () => random.below(size));
  if (drawn.size !== size || drawn.resamples !== resamples || drawn.seed !== seed) {
    const rows = Uint32Array.from({ length: size * resamples }, () => random.below(size));
    drawn = { size, resamples, seed, rows };
  }
  let next = 0;
  const { rows } = drawn;
  return meansOf(values, resamples, () => rows[next++]!);
}

function meansOf(values: readonly number[], resamples: number, draw: () => number): Float64Array {
  const means = new Float64Array(resamples);
  for (let resample = 0; resample < resamples; resample++) {
    let sum = 0;
    for (let i = 0; i < values.length; i++) sum += values[draw()]!;
    means[resample] = sum / values.length;
  }
  return means;
}

/** Linear between the two nearest order statistics, as numpy does. */
function quantile(ascending: Float64Array, share: number): number {
  const position = share * (ascending.length - 1);
  const below = Math.floor(position);
  const above = Math.min(below + 1, ascending.length - 1);
  return ascending[below]! + (position - below) * (ascending[above]! - ascending[below]!);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function requireValues(name: string, values: readonly number[]): void {
  if (!(values?.length > 0)) throw invalidArgument(name, 'at least one value', values);
  const bad = values.find((value) => !Number.isFinite(value));
  if (bad !== undefined) throw invalidArgument(name, 'finite numbers', bad);
}
