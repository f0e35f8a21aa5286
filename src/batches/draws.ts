import { type Cell, countReachable, type Presence } from './cells.js';
import type { CellGroup } from './fill.js';
import type { LanguagePair, ResolvedOptions } from './options.js';
import { WeightedChoice } from './weighted_choice.js';
import { cellWeights } from './weights.js';

/** One batch draws one of these groups, and its pairs from that group's cells. */
export interface Draw {
  groups: readonly CellGroup[];
  /** Integers, one for each group. */
  weights: readonly number[];
  choice: WeightedChoice;
}

/** Weights in units of 2^-32 of the largest one, so that every sum is exact. */
const UNIT = 2 ** 32;

/**
 * The cells of a kind as groups: one for each language where the batch is of one language, one for each data set where
 * it is of one data set, else all in one.
 */
export function makeDraw(
  cells: readonly Cell[],
  kind: 'monolingual' | 'cross_lingual',
  presence: Presence,
  options: ResolvedOptions,
): Draw {
  const weights = weigh(cells, presence.languages, options);
  const groups = new Map<string, number[]>();
  cells.forEach(({ dataset, query }, i) => {
    const key = `${options.oneDatasetPerBatch ? dataset : ''}|${kind === 'monolingual' ? query : ''}`;
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key)!.push(i);
  });
  const made = [...groups.values()]
    .map((positions) => ({
      group: makeGroup(positions, cells, weights, presence),
      weight: positions.reduce((sum, i) => sum + weights[i]!, 0),
    }))
    // A batch of one pair has no negatives.
    .filter(({ group }) => group.reachable >= 2);
  const groupWeights = made.map(({ weight }) => weight);
  return {
    groups: made.map(({ group }) => group),
    weights: groupWeights,
    choice: WeightedChoice.of(groupWeights),
  };
}

function makeGroup(
  positions: number[],
  cells: readonly Cell[],
  weights: readonly number[],
  presence: Presence,
): CellGroup {
  const own = positions.map((i) => cells[i]!);
  const ownWeights = own.length === 1 ? [1] : positions.map((i) => weights[i]!);
  return {
    cells: own,
    weights: ownWeights,
    choice: WeightedChoice.of(ownWeights),
    reachable: countReachable(presence, own),
  };
}

/**
 * Integers. Records are drawn as if all data sets were one, by the languages alone; where data sets have weights, those
 * come first, and the languages within each. The cells come data set by data set.
 */
function weigh(cells: readonly Cell[], languages: readonly string[], options: ResolvedOptions): number[] {
  const { datasets, weighted, languagePairs } = options;
  if (datasets.length === 1 && languagePairs.every(({ weight = 1 }) => weight === 1))
    return weighPairs(cells, languages, options);

  const pools = weighted
    ? datasets.map(({ weight }, d) => ({ weight, own: cells.filter(({ dataset }) => dataset === d) }))
    : [{ weight: 1, own: cells }];
  const shares = pools.flatMap(({ weight, own }) => {
    const paired = weighPairs(own, languages, options);
    const total = paired.reduce((a, b) => a + b, 0);
    return paired.map((value) => (weight * value) / total);
  });
  const largest = shares.reduce((a, b) => Math.max(a, b), 0);
  return shares.map((share) => Math.max(1, Math.round((share / largest) * UNIT)));
}

/** Every pair of languages by languageWeights times its own weight, shared out to its cells by their records. */
function weighPairs(
  cells: readonly Cell[],
  languages: readonly string[],
  { languageWeights, languagePairs }: ResolvedOptions,
): number[] {
  const keyOf = ({ query, positive }: Cell) => query * languages.length + positive;
  const counts = new Map<number, number>();
  for (const cell of cells) counts.set(keyOf(cell), (counts.get(keyOf(cell)) ?? 0) + cell.count);
  const drawn = cellWeights([...counts.values()], languageWeights);
  const weights = new Map([...counts.keys()].map((key, i) => [key, drawn[i]!]));
  return cells.map((cell) => {
    const weight = weights.get(keyOf(cell))! * pairWeight(cell, languages, languagePairs);
    return weight * (cell.count / counts.get(keyOf(cell))!);
  });
}

function pairWeight(cell: Cell, languages: readonly string[], pairs: readonly LanguagePair[]): number {
  const [query, positive] = [languages[cell.query], languages[cell.positive]];
  return pairs.find((pair) => pair.query === query && pair.positive === positive)?.weight ?? 1;
}
