import { writeFile } from 'node:fs/promises';
import { type Lexicon, readLexicon } from '../batches/code_switching/lexicon.js';
import { CodeSwitcher, type SwitchCounts } from '../batches/code_switching/switcher.js';
import type { BatchPlan } from '../batches/plan.js';
import { createSampler } from '../batches/sampler.js';
import type { ParallelRecord } from '../datasets/records.js';
import type { Encoder } from '../encoding/encoder.js';
import { XlembedError } from '../errors.js';
import type { ModelDescription } from '../models/open_model.js';
import { loadNative, type NativeStepResult, type NativeTrainer, nativeCall } from '../native.js';
import { prefetch } from '../scheduling/read_ahead.js';
import { TokenCache, type TokenCacheCounts } from '../tokenizers/token_cache.js';
import { resolveTrainingOptions, type TrainingOptions } from './options.js';
import { type PreparedBatch, prepareBatch } from './prepare.js';
import { learningRateAt } from './schedule.js';

export interface StepEvent extends NativeStepResult {
  /** From 1. */
  step: number;
  kind: BatchPlan['kind'];
  learningRate: number;
  pairs: number;
  tokens: number;
  /** Words of the texts that a lexicon serves, and how many were replaced; only with code switching. */
  switched?: { query: SwitchCounts; passage: SwitchCounts };
  /** Seconds that the step waited for its batch. */
  waitSeconds: number;
  /** Seconds of the whole step, waiting included. */
  seconds: number;
}

/** Batches prepared while one trains. */
const PREFETCH = 4;
/** Steps in a row without a finite loss after which training stops. */
const MOST_SKIPPED = 3;

/**
 * Contrastive fine-tuning of an encoder on parallel records.
 *
 *     const trainer = await Trainer.create(encoder, records, { sampler: 'hybrid', steps: 500 });
 *     for await (const event of trainer.run()) console.log(event.step, event.loss);
 */
export class Trainer {
  readonly options: TrainingOptions;
  readonly sampler: ReturnType<typeof createSampler>;
  readonly #native: NativeTrainer;
  readonly #records: readonly ParallelRecord[];
  readonly #cache: TokenCache;
  readonly #switcher: CodeSwitcher | undefined;

  private constructor(
    encoder: Encoder,
    native: NativeTrainer,
    records: readonly ParallelRecord[],
    options: TrainingOptions,
    lexicons: readonly Lexicon[],
  ) {
    this.options = options;
    this.sampler = createSampler(records, { ...options, batches: options.steps });
    this.#native = native;
    this.#records = records;
    this.#cache = new TokenCache(encoder.tokenizer);
    const { codeSwitching, seed, holdOut } = options;
    this.#switcher = codeSwitching && new CodeSwitcher(lexicons, codeSwitching, seed, holdOut);
  }

  /**
   * Throws INVALID_ARGUMENT for a wrong option, SAMPLER_IMPOSSIBLE when the records cannot make such batches, and what
   * readLexicon throws.
   */
  static async create(
    encoder: Encoder,
    records: readonly ParallelRecord[],
    given: Partial<TrainingOptions>,
  ): Promise<Trainer> {
    const options = resolveTrainingOptions(given);
    const lexicons = await Promise.all((options.codeSwitching?.lexicons ?? []).map(readLexicon));
    const native = await nativeCall(() =>
      loadNative().createTrainer(encoder.native, {
        ...options,
        normalize: needsNormalization(encoder.model),
      }),
    );
    return new Trainer(encoder, native, records, options, lexicons);
  }

  /**
   * Trains step by step; leave the loop to stop early. Throws LOSS_NOT_FINITE after three such steps in a row, with
   * the plan of the last batch written to `failedBatchPath`.
   */
  async *run(failedBatchPath = 'failed_batch.json'): AsyncGenerator<StepEvent, void, undefined> {
    const { options } = this;
    const prepare = (n: number) =>
      prepareBatch(this.sampler.plan(n), this.#records, this.#cache, options, this.#switcher);
    let skippedInARow = 0;
    let waitingSince = performance.now();
    for await (const batch of prefetch(prepare, { to: options.steps, depth: PREFETCH })) {
      const begun = performance.now();
      const learningRate = learningRateAt(batch.plan.n, options);
      const result = await nativeCall(() =>
        this.#native.step({ ...batch, step: batch.plan.n, learningRate }),
      );
      const now = performance.now();
      yield {
        ...result,
        step: batch.plan.n + 1,
        kind: batch.plan.kind,
        learningRate,
        pairs: batch.queries,
        tokens: batch.inputIds.length,
        ...(this.#switcher && { switched: batch.switched }),
        waitSeconds: (begun - waitingSince) / 1000,
        seconds: (now - waitingSince) / 1000,
      };
      skippedInARow = result.skipped ? skippedInARow + 1 : 0;
      if (skippedInARow === MOST_SKIPPED) throw await this.#lossNotFinite(batch, failedBatchPath);
      waitingSince = performance.now();
    }
  }

  /** Texts tokenised so far, and what was done to them. */
  get textCounts(): Readonly<TokenCacheCounts> {
    return this.#cache.counts;
  }

  /** Frees the optimizer's state; the encoder stays. */
  dispose(): void {
    this.#native.dispose();
  }

  async #lossNotFinite({ plan }: PreparedBatch, path: string): Promise<XlembedError> {
    const pairs = plan.pairs.map((pair) => ({ ...pair, id: this.#records[pair.record]!.id }));
    await writeFile(path, `${JSON.stringify({ ...plan, pairs }, null, 1)}\n`);
    return new XlembedError(
      'LOSS_NOT_FINITE',
      `loss or gradient was not finite in ${MOST_SKIPPED} steps in a row, the last being step ${plan.n + 1}`,
      `lower --learning-rate or raise --temperature; the batch's ids are in ${path}`,
    );
  }
}

/** Training compares as retrieval will: by cosine, whether or not the model's own head normalises. */
function needsNormalization({ head, similarity }: ModelDescription): boolean {
  return similarity === 'cosine' && head.at(-1)?.type !== 'normalize';
}
