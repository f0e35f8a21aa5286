import { basename, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { Command } from 'commander';
import { Encoder } from '../encoding/encoder.js';
import { invalidArgument } from '../errors.js';
import { defaultMeasures } from '../evaluation/grid.js';
import type { Measure } from '../evaluation/measures/measure.js';
import { parseMeasure } from '../evaluation/measures/parse.js';
import { mtebMeasures, mtebResult } from '../evaluation/mteb_json.js';
import type { EvaluationResult } from '../evaluation/results.js';
import { openTask, taskEntries, taskEntry, taskNames } from '../evaluation/tasks/registry.js';
import type { Task } from '../evaluation/tasks/task.js';
import { requireWritable, writeTextBeside } from '../files/write_file.js';
import { snapshotCommit } from '../models/hub.js';
import type { EncoderDtype } from '../native.js';
import { list, positiveInteger } from './arguments.js';
import { createConsole, settingsLines } from './console.js';
import { evaluateEncoder } from './evaluate_encoder.js';
import { evaluationText } from './evaluation_text.js';
import { modelIdentity } from './model_identity.js';
import { dtypeOption, type ModelFlags, modelFolder, withModel } from './model_option.js';
import { versions } from './versions.js';

interface EvaluateFlags extends ModelFlags {
  task: string;
  data: string;
  output?: string;
  mteb?: string;
  cache?: string;
  allPairs?: boolean;
  measures?: string[];
  languages?: string[];
  queryPrompt?: string;
  passagePrompt?: string;
  maxTokens?: number;
  device: string;
  dtype: EncoderDtype;
  json?: boolean;
}

/** An evaluation with what it takes to do it again: what --output writes and `xlembed compare` reads. */
interface StoredEvaluation extends EvaluationResult {
  settings: Record<string, unknown>;
  versions: Record<string, string>;
  seconds: number;
}

export function addEvaluate(program: Command): void {
  withModel(program.command('evaluate'))
    .description(
      'Measure an encoder: retrieval within and across languages, language bias, bitext, similarity',
    )
    .requiredOption('--task <name>', `one of ${taskNames().join(', ').replaceAll('_', '-')}`)
    .requiredOption('--data <dir>', "folder with the task's files, as published")
    .option('--output <file>', 'gets all scores as JSON, packed if it ends in .gz; xlembed compare reads it')
    .option('--mteb <dir>', "gets MTEB's result file, in the folders that Python's mteb reads")
    .option('--cache <dir>', 'keeps embeddings and finished parts: an interrupted evaluation goes on')
    .option('--languages <list>', 'comma-separated (default: all that the data has)', list)
    .option('--all-pairs', "all pairs of a parallel bitext, not only English's")
    .option('--measures <list>', 'for retrieval, such as nDCG@10,AP,R@100 (default: the usual)', list)
    .option('--query-prompt <text>', "before queries (default: the model's own)")
    .option('--passage-prompt <text>', "before passages (default: the model's own)")
    .option('--max-tokens <n>', 'tokens kept of each text (default: what the model takes)', positiveInteger)
    .option('--device <name>', 'cpu, cuda or cuda:N', 'cpu')
    .addOption(dtypeOption())
    .option('--json', 'print the result as JSON')
    .addHelpText('after', `\nTasks:\n${taskLines()}`)
    .action(evaluate);
}

function taskLines(): string {
  const width = Math.max(...taskEntries().map(({ name }) => name.length));
  return taskEntries()
    .map(({ name, title }) => `  ${name.replaceAll('_', '-').padEnd(width)}  ${title}`)
    .join('\n');
}

async function evaluate(flags: EvaluateFlags): Promise<void> {
  const console = createConsole(flags);
  const { device, dtype, maxTokens, cache } = flags;
  const measures = measuresOf(flags);
  if (flags.output !== undefined) await requireWritable(flags.output);
  if (flags.mteb !== undefined) await requireWritable(join(flags.mteb, 'results', 'model_meta.json'));
  const task = await openTask(flags.task, flags);
  refuseUnused(flags, task);
  const encoder = await Encoder.load(await modelFolder(flags, console), { device, dtype, maxTokens });
  const prompts = {
    query: flags.queryPrompt ?? encoder.promptOf({ role: 'query' }),
    passage: flags.passagePrompt ?? encoder.promptOf({ role: 'passage' }),
  };
  const settings = {
    model: flags.model,
    revision: snapshotCommit(encoder.model.folder),
    data: flags.data,
    languages: flags.languages ?? [...task.languages],
    prompts: hasRoles(task) ? prompts : { default: encoder.promptOf({}) },
    maxTokens: encoder.model.maxTokens,
    device,
    dtype,
  };
  console.info(`settings\n${settingsLines(settings)}`);
  for (const note of encoder.model.notes) console.info(`note: ${note}`);
  const begun = performance.now();
  const result = await evaluateEncoder(encoder, task, console, {
    languages: flags.languages,
    prompts,
    measures,
    keepQueryScores: flags.output !== undefined,
    allPairs: flags.allPairs,
    cache:
      cache === undefined ? undefined : { folder: cache, identity: await modelIdentity(encoder, prompts) },
  });
  await encoder.dispose();
  const seconds = (performance.now() - begun) / 1000;
  const full: StoredEvaluation = { ...result, settings, versions: versions(), seconds };
  if (flags.output !== undefined) await writeJson(flags.output, full);
  try {
    if (flags.mteb !== undefined) await writeMteb(flags.mteb, flags.task, full);
  } finally {
    // What MTEB's file cannot hold is a result all the same.
    console.result(evaluationText(full), flags.output === undefined ? full : withoutQueryScores(full));
  }
}

/** Texts of bitext and similarity are all of one kind. */
function hasRoles({ kind }: Task): boolean {
  return kind === 'retrieval' || kind === 'collection';
}

/** Throws INVALID_ARGUMENT for what this kind of task would pass over in silence. */
function refuseUnused({ queryPrompt, passagePrompt, measures, allPairs }: EvaluateFlags, task: Task): void {
  if (!hasRoles(task)) {
    const forRetrieval = {
      '--query-prompt': queryPrompt,
      '--passage-prompt': passagePrompt,
      '--measures': measures,
    };
    for (const [option, value] of Object.entries(forRetrieval)) {
      const hint =
        "bitext and similarity have measures of their own, and no prompt but the model's default one";
      if (value !== undefined) throw invalidArgument(option, 'a retrieval task', task.name, hint);
    }
  }
  if (allPairs && task.kind !== 'bitext') throw invalidArgument('--all-pairs', 'a bitext task', task.name);
}

function measuresOf({ measures, mteb }: EvaluateFlags): Measure[] {
  const chosen = measures ? measures.map(parseMeasure) : defaultMeasures();
  const all = mteb === undefined ? chosen : [...chosen, ...mtebMeasures()];
  return [...new Map(all.map((measure) => [measure.name, measure])).values()];
}

/** The file has them; on stdout they would be megabytes. */
function withoutQueryScores(result: StoredEvaluation): StoredEvaluation {
  const without = <T extends { queryScores?: unknown }>(cells: readonly T[]) =>
    cells.map(({ queryScores, ...cell }) => cell) as unknown as T[];
  return { ...result, grid: without(result.grid), pool: without(result.pool) };
}

async function writeJson(path: string, value: unknown): Promise<void> {
  const text = `${JSON.stringify(value)}\n`;
  const bytes = path.endsWith('.gz') ? await promisify(gzip)(text) : text;
  await writeTextBeside(path, bytes);
}

/** The version of mteb whose result files these are. */
const mtebVersion = '2.26.24';

/** `<dir>/<model>/<revision>/<task>.json` beside `model_meta.json`, as mteb's ResultCache has them below `results`. */
async function writeMteb(folder: string, taskName: string, result: StoredEvaluation): Promise<void> {
  const { settings, versions, seconds } = result;
  const names = taskEntry(taskName).mteb;
  const revision = String(settings.revision ?? 'no_revision_available');
  const name = mtebModelName(String(settings.model), settings.revision !== undefined);
  const place = join(folder, 'results', name.replace('/', '__'), revision);
  const file = mtebResult(result, {
    datasetRevision: 'published',
    mtebVersion,
    names,
    evaluationSeconds: seconds,
    run: { mteb: names !== undefined, settings, versions },
  });
  const write = (path: string, value: unknown) =>
    writeTextBeside(join(place, path), `${JSON.stringify(value, null, 2)}\n`);
  await write(`${file.task_name}.json`, file);
  await write('model_meta.json', modelMeta(name, revision, result));
}

/** mteb wants owner/name: a folder's own name stands under `local`. */
function mtebModelName(model: string, fromHub: boolean): string {
  return fromHub ? model.replace(/@.*$/, '') : `local/${basename(resolve(model))}`;
}

/** The fields that mteb's ModelMeta requires. */
function modelMeta(
  name: string,
  revision: string,
  { dimensions, settings, similarity }: StoredEvaluation,
): object {
  return {
    name,
    revision,
    release_date: null,
    languages: null,
    loader: null,
    n_parameters: null,
    memory_usage_mb: null,
    max_tokens: settings.maxTokens,
    embed_dim: dimensions,
    license: null,
    open_weights: null,
    public_training_code: null,
    public_training_data: null,
    framework: [],
    similarity_fn_name: similarity,
    use_instructions: false,
    training_datasets: null,
  };
}
