import type { Lexicon } from '../batches/code_switching/lexicon.js';
import { CodeSwitcher } from '../batches/code_switching/switcher.js';
import type { Sampler } from '../batches/plan.js';
import { createSampler } from '../batches/sampler.js';
import type { ParallelRecord } from '../datasets/records.js';
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
   * Batches of other records, the same ones at every pass, at most `most`: without code switching or (but in
   * distillation) hard negatives, whole in every process.
   */
  ofOthers(
    records: readonly ParallelRecord[],
    most: number,
  ): { count: number; prepare: (n: number) => Promise<PreparedBatch> } {
    const { languages: _all, languagePairs: _pairs, datasets: _sets, ...options } = this.#options;
    const sampler = createSampler(records, { ...options, batches: most });
    return {
      count: Math.min(most, Math.ceil(records.length / options.batchSize)),
      prepare: (n) =>
        prepareBatch(sampler.plan(n), records, sampler, this.#cache, {
          ...this.#options,
          // What a teacher has scored are mostly those.
          negatives: distils(this.#options) ? this.#options.negatives : 0,
        }),
    };
  }

  #numbersOf(step: number): number[] {
    const { accumulate } = this.#options;
    return Array.from({ length: accumulate }, (_, k) => step * accumulate + k);
  }
}
