import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { measuresOf } from '#xlembed/cli/validation.js';
import type { ParallelRecord } from '#xlembed/datasets/records.js';
import { evaluateTask } from '#xlembed/evaluation/evaluate_task.js';
import { recordsTask } from '#xlembed/evaluation/tasks/records_task.js';
import { openTask } from '#xlembed/evaluation/tasks/registry.js';
import { temporaryFolder, xlembed } from './run.js';

const MODEL = 'test/reference/encoder/xlm-roberta';
const folder = temporaryFolder();
const at = (name: string) => join(folder, name);
const linesOf = (values: readonly object[]) => values.map((value) => `${JSON.stringify(value)}\n`).join('');
function folderOf(name: string, files: Record<string, string>): string {
  mkdirSync(at(name));
  for (const [file, text] of Object.entries(files)) writeFileSync(join(at(name), file), text);
  return at(name);
}

const numbers = Array.from({ length: 40 }, (_, n) => n);
const parallel: ParallelRecord[] = numbers.map((n) => ({
  id: `p${n}`,
  query: { en: `w${10 + n}`, de: `w${30 + n}` },
  positive: { en: `w${50 + n} w9`, de: `w${40 + n} w8` },
}));
const oneLanguageEach: ParallelRecord[] = parallel.map(({ id, query, positive }, n) => {
  const language = n % 2 === 0 ? 'en' : 'de';
  return { id, query: { [language]: query[language]! }, positive: { [language]: positive[language]! } };
});
writeFileSync(at('pairs.jsonl'), linesOf(parallel));
const graded = numbers.slice(0, 8).map((n) => ({
  ...{ sentence1: `w${10 + n}`, sentence2: `w${12 + n} w9`, score: n },
}));
const sts = folderOf('sts', { 'en.jsonl': linesOf(graded) });
const stsAcross = folderOf('sts-across', { 'en.jsonl': linesOf(graded), 'de-en.jsonl': linesOf(graded) });
const bitext = folderOf('bitext', { 'de-en.tsv': numbers.map((n) => `w${10 + n}\tw${50 + n}\n`).join('') });

const train = (data: string, output: string, ...more: string[]) =>
  xlembed(
    ...['train', '--model', MODEL, '--data', data, '--output', at(output), '--batch-size', '4'],
    ...['--steps', '4', '--eval-every', '2', ...more],
  );
function trained(output: string) {
  return JSON.parse(readFileSync(join(at(output), 'training.json'), 'utf8'));
}

test('what may be watched is what the evaluation of each kind of task gives', async () => {
  const embed = async (texts: string[]) => ({
    data: Float32Array.from(texts.flatMap((text, n) => [text.length, n + 1, Number(text.slice(1, 3))])),
    rows: texts.length,
    dimensions: 3,
  });
  for (const task of [
    recordsTask('parallel', parallel, ['de', 'en']),
    recordsTask('one language', parallel, ['en']),
    recordsTask('one language each', oneLanguageEach, ['de', 'en']),
    await openTask('sts', { data: sts }),
    await openTask('sts', { data: stsAcross }),
    await openTask('bitext', { data: bitext }),
  ]) {
    const { measures } = await evaluateTask(task, embed);
    const given = Object.keys(measures).filter((name) => /_map$|bias|_f1$|_cosine_spearman$/.test(name));
    assert.deepEqual(measuresOf(task).sort(), given.sort(), task.name);
  }
});

test('a benchmark of any kind chooses the model where no records are held out', () => {
  const { status, stderr } = train(at('pairs.jsonl'), 'by-sts', '--eval-task', 'sts', '--eval-data', sts);
  assert.equal(status, 0, stderr);
  const { best, validations } = trained('by-sts');
  assert.deepEqual(Object.keys(validations[0].measures), ['monolingual_cosine_spearman']);
  assert.ok(best.step > 0);
});

test('records that pair languages have no task: their loss and accuracy are evaluated', () => {
  const flat = numbers.map((n) => ({
    ...{ query: `w${10 + n}`, query_lang: 'en', positive: `w${50 + n} w9`, positive_lang: 'de' },
  }));
  writeFileSync(at('flat.jsonl'), linesOf(flat));
  const flags = ['--sampler', 'cross_lingual', '--eval-records', '12'];
  const { status, stderr } = train(at('flat.jsonl'), 'flat', ...flags);
  assert.equal(status, 0, stderr);
  assert.match(stderr, /no language has query and positive/);
  assert.deepEqual(Object.keys(trained('flat').validations[0].measures), ['loss', 'accuracy']);
});

test('a measure that the evaluation does not give is refused before the first step', () => {
  for (const [flags, says] of [
    [
      ['--eval-records', '12', '--watch', 'cross_lingual_mpa'],
      /one of loss, accuracy, monolingual_map, cross/,
    ],
    [['--eval-task', 'sts', '--eval-data', sts, '--watch', 'loss'], /one of monolingual_cosine_spearman for/],
  ] as const) {
    const { status, stderr } = train(at('pairs.jsonl'), 'refused', ...flags);
    assert.equal(status, 1, stderr);
    assert.match(stderr, /INVALID_ARGUMENT/);
    assert.match(stderr, says);
    assert.ok(!existsSync(at('refused.partial')));
  }
});
