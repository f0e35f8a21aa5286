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
    groups.set(key, [...(groups.get(key) ?? []), i]);
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

/** Integers: within a data set by languageWeights times the pair's own weight, between data sets by theirs. */
function weigh(cells: readonly Cell[], languages: readonly string[], options: ResolvedOptions): number[] {
  const { datasets, languageWeights, languagePairs } = options;
  const byLanguage = new Array<number>(cells.length).fill(0);
  for (const d of datasets.keys()) {
    const own = [...cells.keys()].filter((i) => cells[i]!.dataset === d);
    const counts = own.map((i) => cells[i]!.count);
    for (const [k, weight] of cellWeights(counts, languageWeights).entries()) byLanguage[own[k]!] = weight;
  }
  if (datasets.length === 1 && languagePairs.every(({ weight = 1 }) => weight === 1)) return byLanguage;

  const paired = byLanguage.map((weight, i) => weight * pairWeight(cells[i]!, languages, languagePairs));
  const sums = datasets.map((_, d) =>
    paired.reduce((sum, weight, i) => sum + (cells[i]!.dataset === d ? weight : 0), 0),
  );
  const shares = paired.map((weight, i) => {
    const { dataset } = cells[i]!;
    return (datasets[dataset]!.weight * weight) / sums[dataset]!;
  });
  const largest = shares.reduce((a, b) => Math.max(a, b), 0);
  return shares.map((share) => Math.max(1, Math.round((share / largest) * UNIT)));
}

function pairWeight(cell: Cell, languages: readonly string[], pairs: readonly LanguagePair[]): number {
  const [query, positive] = [languages[cell.query], languages[cell.positive]];
  return pairs.find((pair) => pair.query === query && pair.positive === positive)?.weight ?? 1;
}
