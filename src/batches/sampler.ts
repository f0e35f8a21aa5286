import { z } from 'zod';
import { checkOptions, listSchema } from '../checked_options.js';
import { type ParallelRecord, UNDETERMINED } from '../datasets/records.js';
import { invalidArgument, XlembedError } from '../errors.js';
import { alphaAt, alphaBounds } from './alpha.js';
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
import { type Draw, makeDraw } from './draws.js';
import { type CellGroup, fillBatch } from './fill.js';
import { countTexts } from './held_out.js';
import { type ResolvedOptions, resolveOptions, type SamplerOptions } from './options.js';
import { RandomStream } from './philox.js';
import type { BatchPlan, Sampler } from './plan.js';
import { SharedTexts } from './shared_texts.js';

/**
 * Plans batches over parallel records after Elmahdy et al., arXiv 2408.10536. One idea for all samplers: the
 * matrix that counts, for every (query language, positive language), the records that have both.
 *
 * - monolingual: one diagonal cell is drawn for the batch;
 * - cross_lingual: for each pair one cell off the diagonal is drawn, so that many combinations share a batch;
 * - hybrid: monolingual with probability alpha, else cross-lingual.
 *
 * A record is then drawn uniformly from the cell. Cells are drawn by `languageWeights`: equal, proportional to
 * their records, or to records^(1 / temperature). With several data sets every one has a matrix of its own, and a pair of
 * languages is drawn first, then the data set by its records in them; data sets with weights are drawn before the
 * languages. Left out are monolingual batches of one record, which have no negatives, and cross-lingual pairs with a
 * side of undetermined language.
 *
 * The records must not change afterwards. Memory kept: 1 bit for each record, language and side, 8 bytes for
 * each text that a record shares with others and 8 for each such text, 4 bytes for each record of a cell that holds less
 * than 1/8 of the records.
 *
 * @throws {XlembedError} EMPTY_DATASET without records, INVALID_ARGUMENT for options that no dataset satisfies,
 *   SAMPLER_IMPOSSIBLE where the records cannot give a batch of two pairs of a kind that is asked for.
 */
export function createSampler(records: readonly ParallelRecord[], options: SamplerOptions): Sampler {
  checkOptions(z.object({ records: listSchema }), { records });
  if (records.length === 0) {
    throw new XlembedError('EMPTY_DATASET', 'expected two records or more, received none', 'Add records.');
  }
  const known = languagesOf(records);
  const resolved = resolveOptions(options, known, records.length);
  const presence = presenceOf(records, resolved.languages);
  const heldOutTexts = countTexts(records, (language) => !resolved.languages.includes(language));
  return new MatrixSampler(presence, SharedTexts.among(records), resolved, heldOutTexts);
}

class MatrixSampler implements Sampler {
  readonly batchSize: number;
  readonly languages: readonly string[];
  readonly shared: SharedTexts;
  readonly #options: ResolvedOptions;
  readonly #heldOutTexts: Record<string, number>;
  readonly #presence: Presence;
  /** What keeps records out of each other's batches. */
  readonly #apart: SharedTexts;
  /** Of each data set. */
  readonly #counts: number[][][];
  readonly #monolingual: Draw;
  readonly #crossLingual: Draw;

  constructor(
    presence: Presence,
    shared: SharedTexts,
    options: ResolvedOptions,
    heldOutTexts: Record<string, number>,
  ) {
    this.batchSize = options.batchSize;
    this.languages = options.languages;
    this.#options = options;
    this.#heldOutTexts = heldOutTexts;
    this.#presence = presence;
    this.shared = shared;
    this.#apart = options.duplicates === 'mask' ? SharedTexts.none(presence.records) : shared;
    this.#counts = options.datasets.map((range) => countMatrix(presence, range));
    const { least, largest } = alphaBounds(options.alpha);
    this.#monolingual = this.#draw('monolingual', largest > 0);
    this.#crossLingual = this.#draw('cross_lingual', least < 1);
  }

  plan(n: number): BatchPlan {
    if (!Number.isSafeInteger(n) || n < 0) throw invalidArgument('n', 'an integer from 0 to 2^53 - 1', n);
    const { seed, alpha, batches } = this.#options;
    const random = new RandomStream(seed, n);
    const monolingual = random.nextUint32() < alphaAt(alpha, n, batches) * 2 ** 32;
    const group = drawGroup(monolingual ? this.#monolingual : this.#crossLingual, random);
    const pairs = fillBatch(group, this.#presence, this.#apart, random, this.batchSize);
    return { n, kind: monolingual ? 'monolingual' : 'cross_lingual', pairs };
  }

  describe(): SamplerDescription {
    const drawable = [this.#monolingual, this.#crossLingual].flatMap(({ groups }) =>
      groups.flatMap(({ cells }) => cells),
    );
    return describeSampler({
      options: this.#options,
      heldOutTexts: this.#heldOutTexts,
      counts: this.#counts,
      records: this.#presence.records,
      unreachableRecords: this.#presence.records - countReachable(this.#presence, drawable),
      recordsSharingTexts: this.shared.records,
      monolingual: this.#monolingual,
      crossLingual: this.#crossLingual,
    });
  }

  #draw(kind: BatchPlan['kind'], needed: boolean): Draw {
    const draw = makeDraw(needed ? this.#cells(kind) : [], kind, this.#presence, this.#options);
    if (needed && draw.groups.length === 0) throw impossible(kind, this.#options);
    return draw;
  }

  /** The drawable cells on the diagonal, or off it, data set by data set and row by row. */
  #cells(kind: BatchPlan['kind']): Cell[] {
    const { languages, languagePairs, datasets } = this.#options;
    const determined = (x: number) => languages[x] !== UNDETERMINED;
    const onDiagonal = (x: number, y: number, dataset: number) =>
      x === y && this.#recordsOfBatch(x, dataset) >= 2;
    const offDiagonal = (x: number, y: number) => x !== y && determined(x) && determined(y);
    const drawable = kind === 'monolingual' ? onDiagonal : offDiagonal;
    const listed = languagePairs.filter(
      ({ query, positive }) => (query === positive) === (kind === 'monolingual'),
    );
    const wanted = (x: number, y: number) =>
      listed.length === 0 ||
      listed.some(({ query, positive }) => query === languages[x] && positive === languages[y]);
    return datasets.flatMap((range, dataset) =>
      this.#counts[dataset]!.flatMap((row, query) =>
        row.flatMap((count, positive) =>
          count >= 1 && drawable(query, positive, dataset) && wanted(query, positive)
            ? [makeCell(this.#presence, { dataset, range, query, positive, count })]
            : [],
        ),
      ),
    );
  }

  /** Those that a monolingual batch with records of a data set may draw from. */
  #recordsOfBatch(language: number, dataset: number): number {
    const counts = this.#options.oneDatasetPerBatch ? [this.#counts[dataset]!] : this.#counts;
    return counts.reduce((sum, matrix) => sum + matrix[language]![language]!, 0);
  }
}

function drawGroup({ groups, choice }: Draw, random: RandomStream): CellGroup {
  return groups.length === 1 ? groups[0]! : groups[choice.at(random.below(choice.total))]!;
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
    `Take the ${other} sampler (--sampler ${other}), add records, or name more training languages.`,
  );
}
