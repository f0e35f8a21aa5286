import { writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { readLexicon } from '../batches/code_switching/lexicon.js';
import type { Sampler } from '../batches/plan.js';
import { anyOptions, checkOptions, listSchema, requirePath } from '../checked_options.js';
import type { ParallelRecord } from '../datasets/records.js';
import { Encoder } from '../encoding/encoder.js';
import { XlembedError } from '../errors.js';
import { saveAdapter } from '../models/adapter.js';
import { pooledPrompt } from '../models/prompts.js';
import { type NativeStepResult, type NativeTrainer, nativeCall } from '../native.js';
import type { ProcessGroup } from '../processes/process_group.js';
import { prefetch } from '../scheduling/read_ahead.js';
import type { TokenCacheCounts } from '../tokenizers/token_cache.js';
import { checkModel } from './check_model.js';
import {
  readCheckpointState,
  readCheckpointTensors,
  readCheckpointWeights,
  writeCheckpoint,
} from './checkpoint.js';
import { type Checkpoints, requireCheckpointsOf } from './checkpoints.js';
import { distils } from './labels.js';
import { createNativeTrainer } from './native_trainer.js';
import { type GivenTrainingOptions, resolveTrainingOptions, type TrainingOptions } from './options.js';
import type { PreparedBatch } from './prepare.js';
import { trainingPrompts } from './prompts.js';
import { RunBatches } from './run_batches.js';
import { RunIdentity } from './run_identity.js';
import { meetingPoints, type RunOptions, runOptions, type ValidationOptions } from './run_options.js';
import { learningRateAt } from './schedule.js';
import { countsOf, readCounts, type StepEvent, sum, wholeStep } from './step_event.js';
import { checkSameWatch, Watch, type WatchState } from './watch.js';

const trained = z.object({
  encoder: z.custom((value) => value instanceof Encoder, 'what Encoder.load gives'),
  records: listSchema,
  options: anyOptions,
  group: z.strictObject({ processGroup: z.unknown().optional() }),
});

/** Batches prepared while one trains. */
const PREFETCH = 4;
/** Steps in a row without a finite loss after which training stops. */
const MOST_SKIPPED = 3;

/**
 * Contrastive fine-tuning of an encoder on parallel records.
 *
 *     const trainer = await Trainer.create(encoder, records, { sampler: 'hybrid', steps: 500 });
 *     for await (const event of trainer.run()) console.log(event.step, event.loss);
 *
 * With checkpoints a run that was stopped or killed goes on where the newest one was written, to the same bits:
 *
 *     const checkpoints = await Checkpoints.open('run/checkpoints');
 *     if (checkpoints.latest) await trainer.resume(checkpoints.latest);
 *     for await (const event of trainer.run({ checkpoints: { to: checkpoints, every: 100 } })) ...
 *
 * In a process group all processes make the same calls with the same records and options, and each takes its share of
 * every batch: the steps are those of one process (docs/distributed.md). Rank 0 evaluates and writes checkpoints, into a
 * folder that all of them see, while the others wait.
 */
export class Trainer {
  readonly options: TrainingOptions;
  readonly #batches: RunBatches;
  readonly #encoder: Encoder;
  readonly #native: NativeTrainer;
  readonly #identity: RunIdentity;
  readonly #group: ProcessGroup | undefined;
  #done = 0;
  #skippedInARow = 0;
  #watched: WatchState | null = null;
  #isRunning = false;

  private constructor(
    encoder: Encoder,
    native: NativeTrainer,
    batches: RunBatches,
    identity: RunIdentity,
    options: TrainingOptions,
    group: ProcessGroup | undefined,
  ) {
    this.options = options;
    this.#group = group;
    this.#batches = batches;
    this.#encoder = encoder;
    this.#native = native;
    this.#identity = identity;
  }

  /**
   * From here on the encoder has the prompts that it is trained with: those of the options, else the model's own.
   * Throws INVALID_ARGUMENT for a wrong option, MODEL_UNSUPPORTED for one that this model does not know and for
   * prompts that it does not pool, SAMPLER_IMPOSSIBLE when the records cannot make such batches, and what
   * readLexicon throws; in a process group PROCESSES_DIFFER unless options, records, model and weights are the same in
   * all of them, and PROCESS_LOST.
   */
  static async create(
    encoder: Encoder,
    records: readonly ParallelRecord[],
    given: GivenTrainingOptions = {},
    group: { processGroup?: ProcessGroup | undefined } = {},
  ): Promise<Trainer> {
    checkOptions(trained, { encoder, records, options: given, group });
    const { processGroup } = group;
    const options = resolveTrainingOptions({ ...given, ...trainingPrompts(encoder.model, given) });
    checkModel(encoder, options);
    checkScores(records, options);
    for (const prompt of [options.queryPrompt, options.passagePrompt]) pooledPrompt(encoder.model, prompt);
    const lexicons = await Promise.all((options.codeSwitching?.lexicons ?? []).map(readLexicon));
    const batches = new RunBatches(encoder.tokenizer, records, options, lexicons, processGroup);
    const identity = new RunIdentity(encoder, records, options);
    const native = await createNativeTrainer(encoder, options, processGroup, async (created) => {
      if (!processGroup) return;
      const { data, model } = await identity.fingerprints();
      const alike = { 'training options': JSON.stringify(options), 'records or lexicons': data, model };
      await processGroup.agree({ ...alike, weights: await nativeCall(() => created.fingerprint()) });
    });
    // `document` would go before `passage`; saving writes it anew.
    const { document: _base, ...others } = encoder.model.prompts;
    encoder.model.prompts = { ...others, query: options.queryPrompt, passage: options.passagePrompt };
    return new Trainer(encoder, native, batches, identity, options, processGroup);
  }

  /** Plans the batches. */
  get sampler(): Sampler {
    return this.#batches.sampler;
  }

  /** Steps done, those before a resume included. */
  get steps(): number {
    return this.#done;
  }

  /** Step and value of the best model so far, by the watched measure. */
  get best(): WatchState['best'] {
    return this.#watched?.best ?? null;
  }

  /** Texts tokenised so far, and what was done to them. */
  get textCounts(): Readonly<TokenCacheCounts> {
    return this.#batches.textCounts;
  }

  /**
   * Trains from the step reached to the last one; leave the loop to stop early. Throws LOSS_NOT_FINITE after three such
   * steps in a row, with the plans of their batches on disk, FILE_WRITE_FAILED where a checkpoint cannot be written:
   * those before it stay, FILE_EXISTS for a folder with checkpoints of later steps, CHECKPOINT_INVALID where the best one
   * is missing, PROCESSES_DIFFER where those of a group save, evaluate or watch otherwise, RESUME_REFUSED when something
   * else is watched than before, and INVALID_ARGUMENT for a wrong option, or while another loop of this trainer is not
   * left.
   */
  async *run(options: RunOptions = {}): AsyncGenerator<StepEvent, void, undefined> {
    checkOptions(runOptions, options);
    if (this.#isRunning) {
      const message = 'this trainer is in another run, and each step follows from the one before';
      throw new XlembedError('INVALID_ARGUMENT', message, 'leave its loop first');
    }
    this.#isRunning = true;
    try {
      yield* this.#run(options);
    } finally {
      this.#isRunning = false;
    }
  }

  async *#run(options: RunOptions): AsyncGenerator<StepEvent, void, undefined> {
    const { steps } = this.options;
    await this.#group?.agree({ 'the step reached': this.#done, ...meetingPoints(options) });
    const watch = this.#watch(options.validation);
    if (options.checkpoints) requireCheckpointsOf(this.#done, this.best?.step, options.checkpoints.to);
    if (watch?.exhausted) return;
    const prepare = (step: number) => this.#batches.ofStep(step);
    let waitingSince = performance.now();
    for await (const batches of prefetch(prepare, { from: this.#done, to: steps, depth: PREFETCH })) {
      const event = await this.#step(batches, waitingSince, options.signal);
      await this.#validate(event, options.validation, watch);
      let left = true;
      try {
        yield event;
        left = false;
      } finally {
        // Each process leaves for itself.
        if (left && this.#isFirst) await this.#writeCheckpoint(options.checkpoints);
      }
      if (this.#skippedInARow === MOST_SKIPPED) {
        throw await this.#lossNotFinite(options.failedBatchPath ?? 'failed_batch.json');
      }
      const due = this.#done % (options.checkpoints?.every ?? Number.POSITIVE_INFINITY) === 0;
      if (due || event.best || event.stopping) await this.#save(options.checkpoints);
      if (watch?.exhausted || event.stopping) return;
      waitingSince = performance.now();
    }
  }

  /**
   * Goes on from a checkpoint of the same run; gives what differs without harm, such as versions. Throws
   * CHECKPOINT_INVALID, and RESUME_REFUSED when options, data, model or the way of drawing batches are not those of the
   * checkpoint.
   */
  async resume(checkpoint: string): Promise<string[]> {
    requirePath('checkpoint', checkpoint);
    const state = await readCheckpointState(checkpoint);
    const differences = await this.#identity.compare(checkpoint, state);
    await readCheckpointTensors(checkpoint, this.#encoder.native, this.#native, state);
    this.#done = state.step;
    this.#skippedInARow = state.skippedInARow;
    this.#watched = state.watch;
    if (this.#group) {
      const weights = await nativeCall(() => this.#native.fingerprint());
      await this.#group.agree({ 'the step resumed from': state.step, weights });
    }
    return differences;
  }

  /** Puts the weights of the best step, which has a checkpoint, into the encoder. */
  async useBest(checkpoints: Checkpoints): Promise<void> {
    if (this.best && this.best.step !== this.#done) {
      const folder = checkpoints.folderOf(this.best.step);
      // Adapters lie with the trainer's state.
      if (this.options.lora) {
        const state = await readCheckpointState(folder);
        await readCheckpointTensors(folder, this.#encoder.native, this.#native, state);
      } else await readCheckpointWeights(folder, this.#encoder.native);
    }
  }

  /**
   * The end of training with adapters: saves them, for PEFT too, and merges them into the encoder's weights. False
   * without adapters. No step may follow.
   */
  async finishAdapters(folder: string): Promise<boolean> {
    const { lora } = this.options;
    if (!lora) return false;
    const { native, model } = this.#encoder;
    const { folder: baseModel, modelType } = model;
    await saveAdapter(native, lora, folder, { baseModel: baseModel ?? '', modelType, overwrite: true });
    await nativeCall(() => native.mergeAdapters());
    return true;
  }

  /**
   * A function that gives mean loss and in-batch accuracy on held-out records, without dropout, code switching or (but
   * in distillation) hard negatives: over the same batches at every call. They are in the training languages, and
   * monolingual as often as alpha, scheduled or not, makes those of the whole run. Throws SAMPLER_IMPOSSIBLE where these
   * records give no such batches.
   */
  lossOn(
    records: readonly ParallelRecord[],
    batches = 16,
  ): () => Promise<{ loss: number; accuracy: number }> {
    checkOptions(z.object({ records: listSchema, batches: z.int().min(1) }), { records, batches });
    const prepare = this.#batches.ofOthers(records, batches);
    return async () => {
      const mean = { loss: 0, accuracy: 0 };
      for (let n = 0; n < batches; n++) {
        const batch = await prepare(n);
        const { loss, accuracy } = await nativeCall(() =>
          this.#native.evaluate({ ...batch, step: n, learningRate: 0 }),
        );
        mean.loss += loss / batches;
        mean.accuracy += accuracy / batches;
      }
      return mean;
    };
  }

  /** Frees the optimizer's state; the encoder stays. */
  dispose(): void {
    this.#native.dispose();
  }

  async #step(
    batches: readonly PreparedBatch[],
    waitingSince: number,
    signal: AbortSignal | undefined,
  ): Promise<StepEvent> {
    const begun = performance.now();
    const learningRate = learningRateAt(this.#done, this.options);
    const results: NativeStepResult[] = [];
    for (const batch of batches) {
      const last = results.length === batches.length - 1;
      const part = { step: batch.plan.n, learningRate, weight: 1 / batches.length, update: last };
      const counts = countsOf(batch, signal);
      results.push(await nativeCall(() => this.#native.step({ ...batch, ...part, counts })));
    }
    const { counts, ...result } = wholeStep(results);
    const { tokens, switched, stoppers } = readCounts(counts);
    // What one process of several sees now the others learn in the next step.
    const stopping = stoppers > 0 || (!this.#group && signal?.aborted === true);
    this.#done += 1;
    this.#skippedInARow = result.skipped ? this.#skippedInARow + 1 : 0;
    const kinds = new Set(batches.map(({ plan }) => plan.kind));
    return {
      ...result,
      step: this.#done,
      kind: kinds.size === 1 ? batches[0]!.plan.kind : 'mixed',
      learningRate,
      pairs: sum(batches, ({ plan }) => plan.pairs.length),
      tokens,
      ...(stopping && { stopping }),
      ...(this.#batches.isCodeSwitched && { switched }),
      waitSeconds: (begun - waitingSince) / 1000,
      seconds: (performance.now() - waitingSince) / 1000,
    };
  }

  #watch(validation: ValidationOptions | undefined): Watch | undefined {
    if (this.#watched) checkSameWatch(this.#watched, validation?.watch);
    if (!validation?.watch) return undefined;
    const watch = new Watch(validation.watch);
    if (this.#watched) watch.restore(this.#watched);
    return watch;
  }

  /** Evaluates where it is due; the event then tells. */
  async #validate(
    event: StepEvent,
    validation: ValidationOptions | undefined,
    watch: Watch | undefined,
  ): Promise<void> {
    if (!validation || (event.step % validation.every !== 0 && event.step !== this.options.steps)) return;
    event.validation = await this.#fromFirst(() => validation.measure(event.step));
    if (!watch) return;
    event.best = watch.see(event.step, watchedValue(event.validation, watch.options.measure));
    this.#watched = watch.state;
  }

  get #isFirst(): boolean {
    return (this.#group?.rank ?? 0) === 0;
  }

  #fromFirst<T>(work: () => Promise<T>): Promise<T> {
    return this.#group?.fromFirst(work) ?? work();
  }

  async #save(checkpoints: RunOptions['checkpoints']): Promise<void> {
    if (checkpoints) await this.#fromFirst(() => this.#writeCheckpoint(checkpoints));
  }

  async #writeCheckpoint(checkpoints: RunOptions['checkpoints']): Promise<void> {
    if (!checkpoints || checkpoints.to.has(this.#done)) return;
    await writeCheckpoint(checkpoints.to.folderOf(this.#done), this.#encoder.native, this.#native, {
      step: this.#done,
      skippedInARow: this.#skippedInARow,
      watch: this.#watched,
      ...(await this.#identity.state()),
    });
    await checkpoints.to.prune(this.best?.step);
  }

  async #lossNotFinite(path: string): Promise<XlembedError> {
    const steps = Array.from({ length: MOST_SKIPPED }, (_, k) => this.#done - MOST_SKIPPED + k);
    const batches = steps.flatMap((step) => this.#batches.describe(step));
    const write = async () => writeFile(path, `${JSON.stringify(batches, null, 1)}\n`);
    const where = await (this.#isFirst ? write() : Promise.resolve()).then(
      () => `are in ${path}`,
      (cause: Error) => `could not be written: ${cause.message}`,
    );
    return new XlembedError(
      'LOSS_NOT_FINITE',
      `loss or gradient was not finite in ${MOST_SKIPPED} steps in a row, the last being step ${this.#done}`,
      `lower --learning-rate or raise --temperature; the ids of their batches ${where}`,
    );
  }
}

function checkScores(records: readonly ParallelRecord[], options: TrainingOptions): void {
  if (!distils(options) || records.some(({ positiveScores }) => positiveScores)) return;
  throw new XlembedError(
    'INVALID_ARGUMENT',
    `the loss ${options.loss} needs a teacher's scores, and no record has any`,
    'give the records positive_score and negative_scores',
  );
}

function watchedValue(measures: Record<string, number>, name: string): number {
  const value = measures[name];
  if (value !== undefined) return value;
  throw new XlembedError(
    'INVALID_ARGUMENT',
    `the measure ${name} is watched, but the evaluation gives ${Object.keys(measures).join(', ')}`,
    'watch one of those',
  );
}
