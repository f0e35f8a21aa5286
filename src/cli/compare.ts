import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import type { Command } from 'commander';
import { z } from 'zod';
import { invalidArgument, XlembedError } from '../errors.js';
import { type ComparisonRow, comparisonRows } from '../evaluation/comparison_table.js';
import { fileError } from '../files/file_error.js';
import { writeTextsBeside } from '../files/write_file.js';
import { renderEvaluationReport } from '../report/evaluation_report.js';
import type { EvaluatedModel, EvaluationComparison } from '../report/evaluation_results.js';
import { integer, positiveInteger } from './arguments.js';
import { commandLine } from './command_line.js';
import { createConsole } from './console.js';

interface CompareFlags {
  output?: string;
  resamples: number;
  seed: number;
  json?: boolean;
}

export function addCompare(program: Command): void {
  program
    .command('compare')
    .description(
      'Compare results of xlembed evaluate on one task: intervals, significance against the first, a report',
    )
    .argument('<results...>', 'files written by xlembed evaluate --output')
    .option('--output <dir>', 'gets report.html and the numbers as CSV')
    .option('--resamples <n>', 'of the bootstrap, and permutations of the test', positiveInteger, 10_000)
    .option('--seed <n>', 'of resamples and permutations', integer, 0)
    .option('--json', 'print the comparison as JSON')
    .action(compare);
}

async function compare(paths: string[], flags: CompareFlags): Promise<void> {
  const console = createConsole(flags);
  const { output, resamples, seed } = flags;
  const models: EvaluatedModel[] = [];
  for (const path of paths) models.push(await readModel(path, models));
  const rows = comparisonRows(
    models.map(({ result }) => result),
    { resamples, permutations: resamples, seed },
  );
  const { task } = models[0]!.result;
  const comparison: EvaluationComparison = {
    title: models.length === 1 ? `${models[0]!.name} on ${task}` : `${models.length} models on ${task}`,
    createdAt: new Date().toISOString(),
    command: commandLine(process.argv.slice(2)),
    models,
    rows,
  };
  if (output !== undefined) {
    const files = Object.entries(await renderEvaluationReport(comparison));
    await writeTextsBeside(files.map(([name, text]) => [join(output, name), text] as const));
    console.info(`report ${join(output, 'report.html')}`);
  }
  const names = models.map(({ name }) => name);
  console.result(comparisonText(task, names, rows), { task, models: names, rows });
}

const cell = z.looseObject({
  queryLanguage: z.string(),
  queries: z.number(),
  measures: z.record(z.string(), z.number()),
});

const schema = z.looseObject({
  kind: z.enum(['retrieval', 'collection', 'bitext', 'similarity']),
  task: z.string(),
  languages: z.array(z.string()),
  grid: z.array(cell.extend({ passageLanguage: z.string() })),
  pool: z.array(cell.extend({ languageShares: z.record(z.string(), z.number()) })),
  settings: z.looseObject({}),
  versions: z.record(z.string(), z.string()),
  seconds: z.number(),
});

/** Throws FILE_NOT_FOUND, FILE_READ_FAILED, MALFORMED_FILE, and INVALID_ARGUMENT for a result on another task. */
async function readModel(path: string, before: readonly EvaluatedModel[]): Promise<EvaluatedModel> {
  const parsed = schema.safeParse(await readJson(path));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw malformed(path, `${issue?.path.join('.')}: ${issue?.message}`);
  }
  const { settings, versions, seconds, ...result } = parsed.data as unknown as EvaluatedModel['result'] &
    EvaluatedModel;
  const [first] = before;
  if (first && first.result.task !== result.task) {
    throw invalidArgument(path, `a result on ${first.result.task}, as the first is`, result.task);
  }
  const name = basename(path).replace(/\.json(\.gz)?$/, '');
  const taken = before.filter((model) => model.name.replace(/ \(\d+\)$/, '') === name).length;
  return { name: taken === 0 ? name : `${name} (${taken + 1})`, result, settings, versions, seconds };
}

async function readJson(path: string): Promise<unknown> {
  const bytes = await readFile(path)
    .then((packed) => (path.endsWith('.gz') ? promisify(gunzip)(packed) : packed))
    .catch((cause) => {
      throw fileError(path, cause);
    });
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw malformed(path, (cause as Error).message);
  }
}

function malformed(path: string, received: string): XlembedError {
  const hint = 'write it with: xlembed evaluate --output FILE';
  return new XlembedError(
    'MALFORMED_FILE',
    `expected a result of xlembed evaluate in ${path}, received ${received}`,
    hint,
  );
}

/** A table of the averages with their intervals, and of what tells a model from the first. */
function comparisonText(task: string, names: readonly string[], rows: readonly ComparisonRow[]): string {
  const number = (value: number) => value.toFixed(4);
  const header = [
    '',
    'model',
    'value',
    '95 % interval',
    ...(names.length > 1 ? [`- ${names[0]}`, '95 % interval', 'p'] : []),
  ];
  const lines = rows.flatMap(({ setting, measure, models }) =>
    models.map(({ value, interval, against }, m) => [
      m === 0 ? `${setting.replace('_', '-')} ${measure}` : '',
      names[m]!,
      value === undefined ? '-' : number(value),
      interval ? `${number(interval.low)} .. ${number(interval.high)}` : '-',
      ...(names.length > 1
        ? [
            against ? number(against.interval.mean) : '',
            against ? `${number(against.interval.low)} .. ${number(against.interval.high)}` : '',
            against ? `${against.test.pValue.toFixed(4)}${against.test.pValue < 0.05 ? ' *' : ''}` : '',
          ]
        : []),
    ]),
  );
  const all = [header, ...lines];
  const widths = header.map((_, column) => Math.max(...all.map((line) => line[column]!.length)));
  const text = all.map((line) =>
    line
      .map((field, column) => field.padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  );
  const note =
    names.length > 1 ? `* p < 0.05, two-sided paired permutation test against ${names[0]}, uncorrected` : '';
  return [`${task}, macro-averages over settings`, ...text, note].filter(Boolean).join('\n');
}
