import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import {
  bootstrapInterval,
  buildFaissIndex,
  CandidatePool,
  Checkpoints,
  chanceLevels,
  compareResults,
  createSampler,
  type Embed,
  Encoder,
  evaluateRetrieval,
  evaluateTask,
  FaissIndex,
  FlatIndex,
  inspectModel,
  judgeRun,
  openEmbeddingsFolder,
  openModel,
  openTask,
  ProcessGroup,
  pairedPermutationTest,
  questionScores,
  readRecords,
  readTrecRun,
  recordsTask,
  renderReport,
  renderTrainingReport,
  resolveMiningOptions,
  resolveTrainingOptions,
  splitRecords,
  TextInput,
  TokenizerPool,
  Trainer,
  trainTokenizer,
} from '#xlembed/index.js';
import { folderOf } from './encoding/goldens.js';

/** As a caller without types. */
type Untyped = (...args: unknown[]) => unknown;

const openFresh = (model: unknown) => (Encoder.fresh as Untyped)(model, 0);
const RECORDS = ['a', 'b', 'c'].map((id, n) => ({
  id,
  query: { en: `w${n + 10}`, de: `w${n + 20}` },
  positive: { en: `w${n + 30}`, de: `w${n + 40}` },
}));
const TASK = recordsTask('small', RECORDS, ['de', 'en']);
const folder = await mkdtemp(join(tmpdir(), 'xlembed-calls-'));
after(() => rm(folder, { recursive: true }));

const refused = (call: () => unknown, message: RegExp) =>
  assert.rejects(async () => call(), { code: 'INVALID_ARGUMENT', message });

test('a call without what it needs says what that is', async () => {
  await refused(() => (Encoder.load as Untyped)(), /a folder or owner\/name for the model/);
  await refused(() => (readRecords as Untyped)(), /a file, or an array of files for paths/);
  await refused(() => (openTask as Untyped)('xquad-r'), /the folder with the task's files for data/);
  await refused(() => (openTask as Untyped)(), /one of beir, .*xquad-r for task/);
  await refused(() => (FlatIndex.create as Untyped)(), /\{ dimensions \} for options/);
  const index = FlatIndex.create({ dimensions: 1 });
  await index.add(Float32Array.of(1, 2), ['1', '2']);
  await refused(() => index.remove('12'), /an array or a set of ids for ids, received "12"/);
  await refused(() => index.search(Float32Array.of(1), 1, { only: '12' }), /an array or a set of ids/);
  assert.deepEqual(index.ids, ['1', '2']);
  await refused(
    () => index.add(Float64Array.of(3) as unknown as Float32Array),
    /a Float32Array .*, received 3/,
  );
  await refused(() => (chanceLevels as Untyped)(), /a retrieval task for task/);
  await refused(() => (Reflect.construct as Untyped)(CandidatePool, []), /a list for records/);
  await refused(() => (renderReport as Untyped)(), /an object for options/);
  await refused(() => (renderReport as Untyped)({}), /a list for regimes/);
  await refused(() => (renderTrainingReport as Untyped)({}), /an object for run/);
  await refused(() => (evaluateTask as Untyped)({}, () => {}), /what openTask or recordsTask gives for task/);
});

test('an option that is undefined has its default, in the types too', async () => {
  const [device, scan, storage, only] = [undefined, undefined, undefined, undefined];
  const index = FlatIndex.create({ dimensions: 1, device, scan, storage });
  await index.add(Float32Array.of(1));
  assert.deepEqual(await index.search(Float32Array.of(2), 1, { only }), [[{ id: '0', score: 2 }]]);
  const none = { negatives: undefined, ranks: undefined, language: undefined, margin: undefined };
  assert.deepEqual({ ...none, ...resolveMiningOptions({}) }, resolveMiningOptions(none));
  const seeds = { resamples: undefined, confidence: undefined, seed: undefined };
  assert.deepEqual(bootstrapInterval([1, 2], seeds), bootstrapInterval([1, 2]));
  const training = { steps: undefined, sampler: undefined, languages: undefined, holdOut: undefined };
  assert.deepEqual(resolveTrainingOptions(training), resolveTrainingOptions({}));
});

test('texts and options that encode() does not know are refused', async () => {
  const encoder = await Encoder.load(folderOf('bert'));
  const encode = encoder.encode.bind(encoder) as Untyped;
  await refused(() => encode('w9'), /an array of strings for texts/);
  await refused(() => encode(['w9'], { role: 'document' }), /query or passage for role, received "document"/);
  await refused(() => encode(['w9'], { rol: 'query' }), /no option rol/);
  await refused(() => encode(['w9'], { tokenBudget: 0 }), /tokenBudget/);
  const encodeCorpus = encoder.encodeCorpus.bind(encoder) as Untyped;
  await refused(() => encodeCorpus('corpus.jsonl', 'out'), /what TextInput.open gives for input/);
  await refused(() => encoder.promptOf({ role: 'document' as 'query' }), /query or passage for role/);
  await encoder.dispose();
});

test('what is none of the choices, nor a number in its range, is refused', async () => {
  const [data, texts] = [join(folder, 'records.jsonl'), join(folder, 'texts.txt')];
  const call = (what: unknown, more: unknown, ...before: unknown[]) => (what as Untyped)(...before, more);
  const embed = () => assert.fail('nothing is embedded');
  const result = { kind: 'retrieval', grid: [], pool: [] };
  const fresh = { configPath: 'config.json', tokenizerPath: 'tokenizer.json' };
  const sampler = { sampler: 'hybrid', batchSize: 2, seed: 0 };
  for (const [what, before, options, message] of [
    [readRecords, [data], { onMalformed: 'ignore' }, /fail or skip for onMalformed, received "ignore"/],
    [TextInput.open, [texts], { onMalformed: 'ignore' }, /fail or skip for onMalformed/],
    [TextInput.open, [texts], { format: 'xml' }, /txt or jsonl .* for format/],
    [TextInput.open, [texts], { role: 'document' }, /query or passage for role/],
    [evaluateTask, [TASK, embed], { similarity: 'euclid' }, /cosine or dot for similarity/],
    [evaluateTask, [TASK, embed], { cache: { folder } }, /what the embeddings depend on .*cache\.identity/],
    [evaluateTask, [TASK, embed], { measures: ['AP'] }, /what parseMeasure gives for measures\.0/],
    [evaluateRetrieval, [TASK, embed], { similarity: 'euclid' }, /cosine or dot for similarity/],
    [
      compareResults,
      [result, result],
      { setting: 'bilingual', measure: 'AP' },
      /for setting, received "bili/,
    ],
    [bootstrapInterval, [[1, 2]], { seed: 1.5 }, /a whole number for seed, received 1\.5/],
    [pairedPermutationTest, [[1], [2]], { seed: -1 }, /at least 0 for seed/],
    [createSampler, [RECORDS], { ...sampler, batches: 1.5 }, /a whole number for batches/],
    [createSampler, [RECORDS], { ...sampler, batches: 0 }, /at least 1 for batches/],
    [createSampler, [RECORDS], { ...sampler, duplicates: 'drop' }, /avoid or mask for duplicates/],
    [createSampler, [RECORDS], { ...sampler, holdOut: 'de' }, /a list for holdOut/],
    [Encoder.load, [folderOf('bert')], { maxToken: 8 }, /no option maxToken/],
    [openFresh, [], { ...fresh, pooling: 'max' }, /mean or first for pooling/],
    [openFresh, [], { ...fresh, similarity: 'angle' }, /cosine or dot or .* for similarity/],
  ] as const) {
    await refused(() => call(what, options, ...before), message);
  }
  const setting = 'bilingual' as 'monolingual';
  await refused(() => questionScores(result as never, setting, 'AP'), /for setting, received "bilingual"/);
});

test('options that are null, and arguments that are missing, are named', async () => {
  for (const [what, ...before] of [
    [readRecords, 'records.jsonl'],
    [splitRecords, RECORDS],
    [TextInput.open, 'texts.txt'],
    [createSampler, RECORDS],
    [Encoder.load, folderOf('bert')],
    [evaluateTask, TASK, () => {}],
    [bootstrapInterval, [1]],
    [pairedPermutationTest, [1], [1]],
    [compareResults, {}, {}],
    [FlatIndex.load, 'index'],
    [FaissIndex.create],
    [buildFaissIndex, 'embeddings', 'index'],
    [TokenizerPool.open, 'tokenizer.json'],
    [trainTokenizer, ['a'], 'tokenizer.json'],
    [Checkpoints.open, 'checkpoints'],
    [ProcessGroup.join],
    [resolveMiningOptions],
    [resolveTrainingOptions],
  ] as const) {
    await refused(() => (what as Untyped)(...before, null), /an object for (options|run), received null/);
  }
  for (const [what, message] of [
    [createSampler, /a list for records/],
    [splitRecords, /a list for records/],
    [recordsTask, /a text for name/],
    [judgeRun, /a map of maps for run/],
    [bootstrapInterval, /at least one value for values/],
    [evaluateRetrieval, /a retrieval task for task/],
    [TextInput.open, /a file, or an array of files for inputs/],
    [openModel, /a text for folder/],
    [inspectModel, /a text for folder/],
    [openEmbeddingsFolder, /a text for folder/],
    [FlatIndex.load, /a text for folder/],
    [FaissIndex.load, /a text for path/],
    [TokenizerPool.open, /a text for path/],
    [trainTokenizer, /a list of texts for texts/],
    [Checkpoints.open, /a text for folder/],
    [readTrecRun, /a text for path/],
    [Trainer.create, /what Encoder\.load gives for encoder/],
  ] as const) {
    await refused(() => (what as Untyped)(), message);
  }
});

test('a grade that is no whole number is refused by every kind of evaluation', async () => {
  const qrels = new Map([['a', new Map([['a@en', 0.5]])]]);
  const embed: Embed = async ({ length }) => ({
    data: new Float32Array(length).fill(1),
    rows: length,
    dimensions: 1,
  });
  await refused(
    () => recordsTask('x', RECORDS, ['en', 'fr']),
    /query and positive for languages, received "fr"/,
  );
  await refused(() => evaluateTask({ ...TASK, qrels }, embed), /a whole number for grade of document a@en/);
  await refused(() => judgeRun(new Map(), qrels), /a whole number for grade of document a@en/);
});

test('a corpus run and a training run refuse what they do not know, before they begin', async () => {
  const encoder = await Encoder.load(folderOf('bert'), { tokenizerThreads: 1 });
  const texts = join(folder, 'corpus.txt');
  await writeFile(texts, 'w9');
  const input = await TextInput.open(texts);
  const encodeCorpus = encoder.encodeCorpus.bind(encoder) as Untyped;
  await refused(() => encodeCorpus(input), /a text for folder/);
  for (const [options, message] of [
    [null, /an object for options/],
    [{ duplicates: 'drop' }, /fail or count for duplicates/],
    [{ normalize: 'no' }, /true or false for normalize/],
    [{ lostAfter_ms: 0 }, /more than 0 for lostAfter_ms/],
    [{ onProgress: 3 }, /a function for onProgress/],
    [{ rowPerShard: 3 }, /no option rowPerShard/],
  ] as const) {
    await refused(() => encodeCorpus(input, join(folder, 'corpus'), options), message);
  }
  const trainer = await Trainer.create(encoder, RECORDS, { batchSize: 2, steps: 1 });
  const run = (options: unknown) =>
    (trainer.run.bind(trainer) as (given: unknown) => AsyncGenerator)(options).next();
  await refused(() => run(null), /an object for options/);
  await refused(() => run({ checkpoints: { every: 1 } }), /what Checkpoints\.open gives for checkpoints\.to/);
  await refused(() => run({ validation: { every: 1 } }), /a function for validation\.measure/);
  await refused(() => run({ signal: 3 }), /an AbortSignal for signal/);
  await encoder.dispose();
});
