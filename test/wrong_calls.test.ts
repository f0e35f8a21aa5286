import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  bootstrapInterval,
  Encoder,
  evaluateTask,
  FlatIndex,
  openTask,
  readRecords,
  resolveMiningOptions,
  resolveTrainingOptions,
} from '#xlembed/index.js';
import { folderOf } from './encoding/goldens.js';

/** As a caller without types. */
type Untyped = (...args: unknown[]) => unknown;

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
