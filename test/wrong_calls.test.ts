import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Encoder, evaluateTask, FlatIndex, openTask, readRecords } from '#xlembed/index.js';
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
  await refused(() => (evaluateTask as Untyped)({}, () => {}), /what openTask or recordsTask gives for task/);
});

test('texts and options that encode() does not know are refused', async () => {
  const encoder = await Encoder.load(folderOf('bert'));
  const encode = encoder.encode.bind(encoder) as Untyped;
  await refused(() => encode('w9'), /an array of strings for texts/);
  await refused(() => encode(['w9'], { role: 'document' }), /query or passage for role, received "document"/);
  await refused(() => encode(['w9'], { rol: 'query' }), /no option rol/);
  await refused(() => encode(['w9'], { tokenBudget: 0 }), /tokenBudget/);
  await encoder.dispose();
});
