import { type Alpha, alphaAt, alphaBounds, alphaOf } from '../batches/alpha.js';
import { languagesOf } from '../batches/cells.js';
import type { Lexicon } from '../batches/code_switching/lexicon.js';
import { CodeSwitcher } from '../batches/code_switching/switcher.js';
import type { LanguagePair } from '../batches/options.js';
import type { Sampler } from '../batches/plan.js';
import { createSampler } from '../batches/sampler.js';
import type { ParallelRecord } from '../datasets/records.js';
import { XlembedError } from '../errors.js';
import type { ProcessGroup } from '../processes/process_group.js';
import { TokenCache, type TokenCacheCounts } from '../tokenizers/token_cache.js';
import type { TokenizerPool } from '../tokenizers/tokenizer_pool.js';
import { distils } from './labels.js';
import type { TrainingOptions } from './options.js';
import { type PreparedBatch, prepareBatch } from './prepare.js';

/** The batches of a training run, by number: planned, tokenised, code switched; in a process group each one's share. */
export class RunBatches {
  readonly sampler: Sampler;
  readonly #records: readonly ParallelRecord[];
  readonly #options: TrainingOptions;
  readonly #cache: TokenCache;
  readonly #switcher: CodeSwitcher | undefined;
  readonly #group: ProcessGroup | undefined;

  /** Throws SAMPLER_IMPOSSIBLE when the records cannot make such batches. */
  constructor(
    tokenizer: TokenizerPool,
    records: readonly ParallelRecord[],
    options: TrainingOptions,
    lexicons: readonly Lexicon[],
    group: ProcessGroup | undefined,
  ) {
    this.sampler = createSampler(records, { ...options, batches: options.steps * options.accumulate });
    this.#records = records;
    this.#options = options;
    this.#cache = new TokenCache(tokenizer);
    const { codeSwitching, seed, holdOut } = options;
    this.#switcher = codeSwitching && new CodeSwitcher(lexicons, codeSwitching, seed, holdOut);
    this.#group = group;
  }

  get isCodeSwitched(): boolean {
    return this.#switcher !== undefined;
  }

  /** Texts tokenised so far, and what was done to them. */
  get textCounts(): Readonly<TokenCacheCounts> {
    return this.#cache.counts;
  }

  /** Those that step `step` (from 0) adds up. */
  ofStep(step: number): Promise<PreparedBatch[]> {
    const prepare = (n: number) =>
      prepareBatch(
        this.sampler.plan(n),
        this.#records,
        this.sampler,
        this.#cache,
        this.#options,
        this.#switcher,
        this.#group,
      );
    return Promise.all(this.#numbersOf(step).map(prepare));
  }

  /** Their plans, with the records' ids: for people who look for what went wrong. */
  describe(step: number): unknown[] {
    return this.#numbersOf(step).map((n) => {
      const { pairs, ...plan } = this.sampler.plan(n);
      return { ...plan, pairs: pairs.map((pair) => ({ ...pair, id: this.#records[pair.record]!.id })) };
    });
  }

  /**
   * Prepares batch n (below `count`) of other records, the same one at every pass: of the training languages and language
   * pairs, monolingual as often as alpha is over the whole run, without code switching or (but in distillation) hard
   * negatives, whole in every process.
   */
  ofOthers(records: readonly ParallelRecord[], count: number): (n: number) => Promise<PreparedBatch> {
    const sampler = this.#samplerOfOthers(records, count);
    return (n) =>
      prepareBatch(sampler.plan(n), records, sampler, this.#cache, {
        ...this.#options,
        // What a teacher has scored are mostly those.
        negatives: distils(this.#options) ? this.#options.negatives : 0,
      });
  }

  #samplerOfOthers(records: readonly ParallelRecord[], count: number): Sampler {
    const { datasets: _sets, languagePairs, ...options } = this.#options;
    const present = new Set(languagesOf(records));
    const pairs = languagePairs.filter(({ query, positive }) =>
      records.some((record) => record.query[query] && record.positive[positive]),
    );
    const alpha = alphaOf(
      options.sampler,
      evenlySpread(options.alpha, options.steps * options.accumulate, count),
    );
    const { least, largest } = alphaBounds(alpha);
    const isDrawn = (pair: LanguagePair) => (isWithin(pair) ? largest > 0 : least < 1);
    const lost = languagePairs.find(
      (pair) => isDrawn(pair) && !pairs.some((kept) => isWithin(kept) === isWithin(pair)),
    );
    // Without any pair of a kind all would be drawn.
    if (lost) throw heldOutTooFew(`none has a language pair such as ${lost.query}-${lost.positive}`);
    try {
      return createSampler(records, {
        ...options,
        languages: this.sampler.languages.filter((language) => present.has(language)),
        languagePairs: pairs,
        alpha,
      });
    } catch (cause) {
      if (!(cause instanceof XlembedError) || cause.code !== 'SAMPLER_IMPOSSIBLE') throw cause;
      throw heldOutTooFew(cause.message, cause);
    }
  }

  #numbersOf(step: number): number[] {
    const { accumulate } = this.#options;
    return Array.from({ length: accumulate }, (_, k) => step * accumulate + k);
  }
}

/** A pair of one language, of which monolingual batches consist. */
const isWithin = ({ query, positive }: LanguagePair) => query === positive;

function heldOutTooFew(what: string, cause?: unknown): XlembedError {
  return new XlembedError(
    'SAMPLER_IMPOSSIBLE',
    `the records held out for evaluation give no batches like those of the run: ${what}`,
    'hold out more records (--eval-records)',
    { cause },
  );
}

/**
 * Alpha for `count` batches, 0 or 1 for each, whose mean is that of a run of `batches`, to the rounding: of each kind that
 * the run has there is one at least.
 */
function evenlySpread(alpha: Alpha, batches: number, count: number): Alpha {
  let total = 0;
  for (let n = 0; n < batches; n++) total += alphaAt(alpha, n, batches);
  const [least, most] = [total > 0 ? 1 : 0, total < batches ? count - 1 : count];
  const monolingual = Math.min(most, Math.max(least, Math.round((count * total) / batches)));
  const before = (batch: number) => Math.floor((batch * monolingual) / count);
  return Array.from({ length: count }, (_, batch) => ({ batch, alpha: before(batch + 1) - before(batch) }));
}
