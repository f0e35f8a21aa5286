/**
 * xlembed: fine-tune, run and measure multilingual embedding models.
 *
 *     import { Encoder, FlatIndex } from 'xlembed';
 *     const encoder = await Encoder.load('path/to/model');
 *     const { data, rows, dimensions } = await encoder.encode(['Guten Morgen', 'good morning'], { role: 'query' });
 *
 * This file is the public API, nothing else; what it does not name may change in any version.
 */

export type { SamplerOptions } from './batches/options.js';
export type { BatchPlan, PairChoice, Sampler } from './batches/plan.js';
export { createSampler } from './batches/sampler.js';
export type { LanguageWeights } from './batches/weights.js';
export { readCldrAnnotations } from './datasets/cldr_annotations.js';
export { type RecordCounts, type RecordOptions, readRecords } from './datasets/read_records.js';
export type { ParallelRecord } from './datasets/records.js';
export { type SplitOptions, splitRecords } from './datasets/split_records.js';
export { TextInput, type TextOptions, type TextRecord } from './datasets/texts.js';
export { readUdhr } from './datasets/udhr.js';
export type { CorpusFigures } from './encoding/corpus/figures.js';
export type { CorpusManifest } from './encoding/corpus/manifest.js';
export type { CorpusOptions } from './encoding/corpus/options.js';
export { type EmbeddingsFolder, openEmbeddingsFolder } from './encoding/embeddings_folder.js';
export {
  type Embeddings,
  type EncodeOptions,
  Encoder,
  type EncoderOptions,
  type LoadOptions,
} from './encoding/encoder.js';
export {
  type ScriptEncodeOptions,
  ScriptEncoder,
  type ScriptEncoderOptions,
  type ScriptOutput,
} from './encoding/script_encoder.js';
export { type ErrorCode, XlembedError } from './errors.js';
export { chanceLevels } from './evaluation/chance.js';
export { type Comparison, compareResults, questionScores } from './evaluation/compare.js';
export { type Embed, type EvaluationOptions, evaluateRetrieval } from './evaluation/evaluate.js';
export { evaluateTask, type TaskOptions } from './evaluation/evaluate_task.js';
export { judgeRun, type Qrels, type Run } from './evaluation/judgements.js';
export type { JudgedRanking, Measure } from './evaluation/measures/measure.js';
export { parseMeasure } from './evaluation/measures/parse.js';
export { readMtebQrels, readMtebRun } from './evaluation/mteb_files.js';
export type { EvaluationResult, GridCell, PoolRow } from './evaluation/results.js';
export {
  bootstrapInterval,
  type Interval,
  type PermutationResult,
  pairedPermutationTest,
} from './evaluation/statistics.js';
export { recordsTask } from './evaluation/tasks/records_task.js';
export { openTask, taskNames } from './evaluation/tasks/registry.js';
export type {
  BitextTask,
  CollectionTask,
  RetrievalTask,
  SimilarityTask,
  Task,
  TaskText,
} from './evaluation/tasks/task.js';
export { type JudgementTable, readBeirQrels, readTrecQrels, readTrecRun } from './evaluation/trec_files.js';
export { type DownloadProgress, type HubOptions, resolveModel } from './models/hub.js';
export { inspectModel, type ModelInspection } from './models/inspect_model.js';
export { type ModelDescription, openModel } from './models/open_model.js';
export { promptFor, type Role } from './models/prompts.js';
export type { Dtype, EncoderDtype, NativeInfo, PackedSequences } from './native.js';
export { type Launch, readLaunch } from './processes/launch.js';
export { ProcessGroup, type ProcessGroupOptions } from './processes/process_group.js';
export { renderReport, renderTrainingReport } from './report/report.js';
export type { ExperimentResults, TrainingResults } from './report/results.js';
export { renderTable } from './report/table.js';
export {
  type BuiltFaissIndex,
  buildFaissIndex,
  type FaissBuildOptions,
  type FaissBuildProgress,
} from './search/build_faiss.js';
export { FaissIndex, type FaissIndexOptions } from './search/faiss_index.js';
export {
  FlatIndex,
  type FlatIndexLoadOptions,
  type FlatIndexOptions,
  type Hit,
} from './search/flat_index.js';
export { CandidatePool } from './search/mining/candidates.js';
export { indexCandidates, type MiningCounts, mineNegatives } from './search/mining/mine_negatives.js';
export { type MiningOptions, resolveMiningOptions } from './search/mining/options.js';
export { Tensor, type TensorArray, type TensorDtype } from './tensor.js';
export { type TokenizedTexts, type TokenizerOptions, TokenizerPool } from './tokenizers/tokenizer_pool.js';
export { trainTokenizer } from './tokenizers/train.js';
export { Checkpoints } from './training/checkpoints.js';
export { resolveTrainingOptions, TRAINING_DEFAULTS, type TrainingOptions } from './training/options.js';
export type { StepEvent } from './training/step_event.js';
export { type RunOptions, Trainer, type ValidationOptions } from './training/trainer.js';
export type { WatchOptions } from './training/watch.js';
