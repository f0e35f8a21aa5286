import { type ParallelRecord, UNDETERMINED } from '../datasets/records.js';
import { invalidArgument, XlembedError } from '../errors.js';
import {
  type Cell,
  countMatrix,
  countReachable,
  languagesOf,
  makeCell,
  type Presence,
  presenceOf,
} from './cells.js';
import { describeSampler, type SamplerDescription } from './describe.js';
import { type CellGroup, fillBatch } from './fill.js';
import { type ResolvedOptions, resolveOptions, type SamplerOptions } from './options.js';
import { RandomStream } from './philox.js';
import type { BatchPlan, Sampler } from './plan.js';
import { findSharedTexts, type SharedTexts } from './shared_texts.js';
import { WeightedChoice } from './weighted_choice.js';
import { cellWeights } from './weights.js';

/**
 * Plans batches over parallel records after Elmahdy et al., arXiv 2408.10536. One idea for all samplers: the
 * matrix that counts, for every (query language, positive language), the records that have both.
 *
 * - monolingual: one diagonal cell is drawn for the batch;
 * - cross_lingual: for each pair one cell off the diagonal is drawn, so that many combinations share a batch;
 * - hybrid: monolingual with probability alpha, else cross-lingual.
 *
 * A record is then drawn uniformly from the cell. Cells are drawn by `languageWeights`: equal, proportional to
 * their records, or to records^(1 / temperature). A diagonal cell with one record is left out (its batch would
 * have no negatives), and so are cross-lingual pairs with a side of undetermined language.
 *
 * The records must not change afterwards. Memory kept: 1 bit for each record, language and side, 4 bytes for
 * each text that records share, 4 bytes for each record of a cell that holds less than 1/8 of the records.
 *
 * @throws {XlembedError} EMPTY_DATASET without records, INVALID_ARGUMENT for options that no dataset satisfies,
 *   SAMPLER_IMPOSSIBLE where the records cannot give a batch of two pairs of a kind that is asked for.
 */
export function createSampler(records: readonly ParallelRecord[], options: SamplerOptions): Sampler {
  if (records.length === 0) {
    throw new XlembedError('EMPTY_DATASET', 'expected two records or more, received none', 'Add records.');
  }
  const known = languagesOf(records);
  const resolved = resolveOptions(options, known);
  const presence = presenceOf(records, resolved.languages);
  return new MatrixSampler(presence, findSharedTexts(records), resolved, known);
}

class MatrixSampler implements Sampler {
  readonly batchSize: number;
  readonly #options: ResolvedOptions;
  readonly #known: readonly string[];
  readonly #presence: Presence;
  readonly #shared: SharedTexts;
  readonly #counts: number[][];
  readonly #monolingual: CellGroup;
  readonly #crossLingual: CellGroup;

  constructor(presence: Presence, shared: SharedTexts, options: ResolvedOptions, known: readonly string[]) {
    this.batchSize = options.batchSize;
    this.#options = options;
    this.#known = known;
    this.#presence = presence;
    this.#shared = shared;
    this.#counts = countMatrix(presence);
    this.#monolingual = this.#group(options.alpha > 0 ? this.#cells('monolingual') : []);
    this.#crossLingual = this.#group(options.alpha < 1 ? this.#cells('cross_lingual') : []);
    if (options.alpha > 0 && this.#monolingual.reachable < 2) throw impossible('monolingual', options);
    if (options.alpha < 1 && this.#crossLingual.reachable < 2) throw impossible('cross_lingual', options);
  }

  plan(n: number): BatchPlan {
    if (!Number.isSafeInteger(n) || n < 0) throw invalidArgument('n', 'an integer from 0 to 2^53 - 1', n);
    const random = new RandomStream(this.#options.seed, n);
    const monolingual = random.nextUint32() < this.#options.alpha * 2 ** 32;
    const group = monolingual ? this.#oneLanguage(random) : this.#crossLingual;
    const pairs = fillBatch(group, this.#presence, this.#shared, random, this.batchSize);
    return { n, kind: monolingual ? 'monolingual' : 'cross_lingual', pairs };
  }

  describe(): SamplerDescription {
    const drawable = [...this.#monolingual.cells, ...this.#crossLingual.cells];
    return describeSampler({
      options: this.#options,
      known: this.#known,
      counts: this.#counts,
      records: this.#presence.records,
      unreachableRecords: this.#presence.records - countReachable(this.#presence, drawable),
      recordsSharingTexts: this.#shared.records,
      monolingual: this.#monolingual,
      crossLingual: this.#crossLingual,
    });
  }

  /** The drawable cells on the diagonal, or off it, row by row. */
  #cells(kind: BatchPlan['kind']): Cell[] {
    const determined = (x: number) => this.#options.languages[x] !== UNDETERMINED;
    const onDiagonal = (x: number, y: number, count: number) => x === y && count >= 2;
    const offDiagonal = (x: number, y: number, count: number) =>
      x !== y && count >= 1 && determined(x) && determined(y);
    const drawable = kind === 'monolingual' ? onDiagonal : offDiagonal;
    return this.#counts.flatMap((row, x) =>
      row.flatMap((count, y) => (drawable(x, y, count) ? [makeCell(this.#presence, x, y, count)] : [])),
    );
  }

  #group(cells: Cell[]): CellGroup {
    const counts = cells.map((cell) => cell.count);
    const weights = cellWeights(counts, this.#options.languageWeights);
    const reachable = countReachable(this.#presence, cells);
    return { cells, weights, choice: WeightedChoice.of(weights), reachable };
  }

  #oneLanguage(random: RandomStream): CellGroup {
    const { cells, choice } = this.#monolingual;
    const cell = cells[choice.at(random.below(choice.total))]!;
    return { cells: [cell], weights: [1], choice: WeightedChoice.of([1]), reachable: cell.count };
  }
}

function impossible(kind: BatchPlan['kind'], options: ResolvedOptions): XlembedError {
  const lacking = {
    monolingual: 'no language has two records with query and positive in it',
    cross_lingual: 'fewer than two records have a query in one language and a positive in another',
  };
  const other = kind === 'monolingual' ? 'cross_lingual' : 'monolingual';
  return new XlembedError(
    'SAMPLER_IMPOSSIBLE',
    `the ${options.sampler} sampler needs ${kind} batches, but among ${options.languages.join(', ')} ${lacking[kind]}`,
    `Take the ${other} sampler, add records, or name more training languages.`,
  );
}
