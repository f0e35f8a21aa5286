import { writeFile } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import { Encoder } from '../encoding/encoder.js';
import type { EvaluationResult } from '../evaluation/results.js';
import { openTask, taskNames } from '../evaluation/tasks/registry.js';
import { snapshotCommit } from '../models/hub.js';
import { writeFileBeside } from '../models/write_beside.js';
import type { Dtype } from '../native.js';
import { list, positiveInteger } from './arguments.js';
import { createConsole, settingsLines } from './console.js';
import { evaluateEncoder } from './evaluate_encoder.js';
import { type ModelFlags, modelFolder, withModel } from './model_option.js';
import { versions } from './versions.js';

interface EvaluateFlags extends ModelFlags {
  task: string;
  data: string;
  output?: string;
  languages?: string[];
  maxTokens?: number;
  device: string;
  dtype: Dtype;
  json?: boolean;
}

export function addEvaluate(program: Command): void {
  withModel(program.command('evaluate'))
    .description('Measure monolingual, cross-lingual and multilingual retrieval, and language bias')
    .requiredOption('--task <name>', `one of ${taskNames().join(', ').replaceAll('_', '-')}`)
    .requiredOption('--data <dir>', "folder with the task's files, plain or .gz")
    .option('--output <file>', 'gets measures and the full grid as JSON')
    .option('--languages <list>', 'comma-separated (default: all that the data has)', list)
    .option('--max-tokens <n>', 'tokens kept of each text (default: what the model takes)', positiveInteger)
    .option('--device <name>', 'cpu, cuda or cuda:N', 'cpu')
    .addOption(
      new Option('--dtype <name>', 'of weights and arithmetic')
        .choices(['float32', 'bfloat16', 'float16'])
        .default('float32'),
    )
    .option('--json', 'print the result as JSON')
    .action(evaluate);
}

async function evaluate(flags: EvaluateFlags): Promise<void> {
  const console = createConsole(flags);
  const { device, dtype, maxTokens } = flags;
  const task = await openTask(flags.task, flags);
  const encoder = await Encoder.load(await modelFolder(flags, console), { device, dtype, maxTokens });
  const settings = {
    model: flags.model,
    commit: snapshotCommit(encoder.model.folder),
    data: flags.data,
    languages: flags.languages ?? [...task.languages],
    queryPrompt: encoder.promptOf({ role: 'query' }),
    passagePrompt: encoder.promptOf({ role: 'passage' }),
    maxTokens: encoder.model.maxTokens,
    device,
    dtype,
  };
  console.info(`settings\n${settingsLines(settings)}`);
  for (const note of encoder.model.notes) console.info(`note: ${note}`);
  const begun = performance.now();
  const result = await evaluateEncoder(encoder, task, console, { languages: flags.languages });
  await encoder.dispose();
  const full = { ...result, settings, versions: versions(), seconds: (performance.now() - begun) / 1000 };
  if (flags.output !== undefined) await writeJson(flags.output, full);
  console.result(summary(full), full);
}

function writeJson(path: string, value: unknown): Promise<void> {
  return writeFileBeside(path, (temporary) => writeFile(temporary, `${JSON.stringify(value, null, 2)}\n`));
}

function summary({
  task,
  measures,
  grid,
  languages,
  counts,
  seconds,
}: EvaluationResult & { seconds: number }): string {
  const value = (name: string) =>
    (measures[name] === undefined ? '-' : measures[name].toFixed(4)).padStart(10);
  const row = (label: string, setting: string, recall: string) =>
    `${label.padEnd(14)}${value(`${setting}_map`)}${value(`${setting}_mrr`)}${value(`${setting}_ndcg_at_10`)}${value(`${setting}_${recall}`)}  ${recall}`;
  const total = (of: Record<string, number>) => Object.values(of).reduce((sum, count) => sum + count, 0);
  return [
    `${task}: ${languages.length} languages, ${total(counts.queries)} queries, ${total(counts.candidates)} candidates, ${grid.length} settings and the pool, ${seconds.toFixed(1)} s`,
    `${''.padEnd(14)}${['mAP', 'MRR', 'nDCG@10', 'Recall'].map((name) => name.padStart(10)).join('')}`,
    row('monolingual', 'monolingual', 'recall_at_1'),
    row('cross-lingual', 'cross_lingual', 'recall_at_1'),
    row('multilingual', 'multilingual', 'recall_at_10'),
    `language bias (mean rank distance) ${measures.language_bias?.toFixed(1) ?? '-'}`,
  ].join('\n');
}
