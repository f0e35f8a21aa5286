/**
 * xlembed: fine-tune, run and measure multilingual embedding models.
 *
 *     import { Encoder, FlatIndex } from 'xlembed';
 *     const encoder = await Encoder.load('path/to/model');
 *     const { data, rows, dimensions } = await encoder.encode(['Guten Morgen', 'good morning'], { role: 'query' });
 *
 * This file is the public API, nothing else; what it does not name may change in any version.
 */

export type { Alpha } from './batches/alpha.js';
export type { RecordRange } from './batches/cells.js';
export type { LexiconFile } from './batches/code_switching/lexicon.js';
export type { CodeSwitchingOptions, SideOptions, SwitchCounts } from './batches/code_switching/switcher.js';
export type { CellDescription, SamplerDescription } from './batches/describe.js';
export type { Dataset, LanguagePair, ResolvedOptions, SamplerOptions } from './batches/options.js';
export type { BatchPlan, PairChoice, Sampler } from './batches/plan.js';
export { createSampler } from './batches/sampler.js';
export type { SharedTexts } from './batches/shared_texts.js';
export type { LanguageWeights } from './batches/weights.js';
export { readCldrAnnotations } from './datasets/cldr_annotations.js';
export type { MalformedPolicy } from './datasets/malformed.js';
export { type RecordCounts, type RecordOptions, readRecords } from './datasets/read_records.js';
export type { ParallelRecord } from './datasets/records.js';
export { type SplitOptions, splitRecords } from './datasets/split_records.js';
export type { Row, TextFormatName } from './datasets/text_formats.js';
export {
  type InputFile,
  type InputRow,
  type ReadRow,
  type TextCounts as InputCounts,
  TextInput,
  type TextOptions,
  type TextRecord,
} from './datasets/texts.js';
export { readUdhr } from './datasets/udhr.js';
export type { CorpusFigures, QueueFigures, StageName } from './encoding/corpus/figures.js';
export type { CorpusManifest } from './encoding/corpus/manifest.js';
export type { CorpusOptions, CorpusSettings } from './encoding/corpus/options.js';
export type { ShardRecord, StoredFile } from './encoding/corpus/output_folder.js';
export type { Precision } from './encoding/corpus/precision.js';
export type { ShardFormatName, ShardLayout } from './encoding/corpus/shard_format.js';
export { type EmbeddingsFolder, openEmbeddingsFolder } from './encoding/embeddings_folder.js';
export type { EmbeddingsOrigin } from './encoding/embeddings_origin.js';
export {
  type Embeddings,
  type EncodeOptions,
  Encoder,
  type EncoderOptions,
  type LoadOptions,
  type TextCounts,
} from './encoding/encoder.js';
export {
  type ScriptEncodeOptions,
  ScriptEncoder,
  type ScriptEncoderOptions,
  type ScriptOutput,
} from './encoding/script_encoder.js';
export { type ErrorCode, XlembedError } from './errors.js';
export { chanceLevels } from './evaluation/chance.js';
export {
  type CompareOptions,
  type Comparison,
  compareResults,
  questionScores,
  type Setting,
} from './evaluation/compare.js';
export {
  type Embed,
  type EvaluationOptions,
  type EvaluationProgress,
  evaluateRetrieval,
} from './evaluation/evaluate.js';
export { evaluateTask, type TaskOptions } from './evaluation/evaluate_task.js';
export type { GridOptions } from './evaluation/grid.js';
export { type JudgedRun, judgeRun, type Qrels, type Run } from './evaluation/judgements.js';
export type { JudgedRanking, Measure, MeasureNames } from './evaluation/measures/measure.js';
export { parseMeasure } from './evaluation/measures/parse.js';
export { readMtebQrels, readMtebRun } from './evaluation/mteb_files.js';
export type { Projection } from './evaluation/projection.js';
export type { RankingIndex, RankingIndexFactory, Similarity } from './evaluation/ranking_index.js';
export type { EvaluationResult, GridCell, GroupSummary, PoolRow, QueryScores } from './evaluation/results.js';
export {
  type BootstrapOptions,
  bootstrapInterval,
  type Interval,
  type PermutationOptions,
  type PermutationResult,
  pairedPermutationTest,
} from './evaluation/statistics.js';
export { recordsTask } from './evaluation/tasks/records_task.js';
export {
  type OpenTaskOptions,
  openTask,
  type RetrievalTaskName,
  taskNames,
} from './evaluation/tasks/registry.js';
export type {
  BitextPair,
  BitextTask,
  Collection,
  CollectionTask,
  GradedPairs,
  ParallelSentences,
  RetrievalTask,
  SimilaritySet,
  SimilarityTask,
  Task,
  TaskText,
} from './evaluation/tasks/task.js';
export { type JudgementTable, readBeirQrels, readTrecQrels, readTrecRun } from './evaluation/trec_files.js';
export type { LoraOptions } from './models/adapter.js';
export { type DownloadProgress, type HubOptions, resolveModel } from './models/hub.js';
export { type FileSize, inspectModel, type ModelInspection } from './models/inspect_model.js';
export type { JsonObject } from './models/json_file.js';
export { type FreshModelOptions, type ModelDescription, openModel } from './models/open_model.js';
export { promptFor, type Role } from './models/prompts.js';
export type { Similarity as ModelSimilarity } from './models/sentence_transformers.js';
export type {
  BackboneConfig,
  Dtype,
  EncoderDtype,
  HeadModule,
  IndexStorage,
  LstmConfig,
  NativeEncoder,
  NativeInfo,
  NativeLoraOptions,
  NativeProcessGroup,
  NativeScriptEmbeddingOptions,
  NativeScriptModule,
  NativeScriptValue,
  NativeStepResult,
  NativeTensor,
  PackedSequences,
  ParameterInfo,
  PoolMode,
  SearchScan,
  TensorSource,
  TensorTarget,
  TransformerConfig,
} from './native.js';
export {
  type Environment as LaunchEnvironment,
  type Launch,
  readLaunch,
} from './processes/launch.js';
export { ProcessGroup, type ProcessGroupOptions } from './processes/process_group.js';
export type { JoinOptions } from './processes/shared_store.js';
export { renderReport, renderTrainingReport } from './report/report.js';
export type {
  EvaluationSummary,
  ExperimentResults,
  GridCell as ReportGridCell,
  LossPoint,
  RegimeResult,
  RunFacts,
  SearchExample,
  SearchResult,
  TrainingPoint,
  TrainingResults,
  ValidationPoint,
} from './report/results.js';
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
  type SearchOptions,
} from './search/flat_index.js';
export { type Candidate, CandidatePool } from './search/mining/candidates.js';
export {
  type Embedder,
  indexCandidates,
  type MiningCounts,
  mineNegatives,
} from './search/mining/mine_negatives.js';
export {
  type MiningOptions,
  type ResolvedMiningOptions,
  resolveMiningOptions,
} from './search/mining/options.js';
export type { Vectors } from './search/vectors.js';
export { Tensor, type TensorArray, type TensorDtype } from './tensor.js';
export type { TokenCacheCounts } from './tokenizers/token_cache.js';
export type { TokenizerInfo } from './tokenizers/tokenizer_json.js';
export { type TokenizedTexts, type TokenizerOptions, TokenizerPool } from './tokenizers/tokenizer_pool.js';
export { type TrainTokenizerOptions, trainTokenizer } from './tokenizers/train.js';
export { Checkpoints, type CheckpointsOptions } from './training/checkpoints.js';
export type { EngineOptions } from './training/engine_options.js';
export {
  type GivenTrainingOptions,
  resolveTrainingOptions,
  TRAINING_DEFAULTS,
  type TrainingOptions,
} from './training/options.js';
export type { RunOptions, ValidationOptions } from './training/run_options.js';
export type { ScheduleName } from './training/schedule.js';
export type { StepEvent } from './training/step_event.js';
export { Trainer } from './training/trainer.js';
export type { WatchOptions, WatchState } from './training/watch.js';
