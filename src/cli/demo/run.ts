import { join } from 'node:path';
import { chanceLevels } from '../../evaluation/chance.js';
import type { EvaluationResult } from '../../evaluation/results.js';
import { makeFolder, writeTextBeside } from '../../files/write_file.js';
import { requireReplaceable } from '../../files/write_folder.js';
import { MODEL_FOLDER } from '../../models/save_model.js';
import { renderReport } from '../../report/report.js';
import type { EvaluationSummary, ExperimentResults, RegimeResult } from '../../report/results.js';
import { renderTable } from '../../report/table.js';
import { type Console, settingsLines } from '../console.js';
import { versions } from '../versions.js';
import { readDemoData, TRAINED, ZERO_SHOT } from './data.js';
import { searchExamples } from './examples.js';
import { makeDemoModel } from './model.js';
import { demoTrainingOptions, REGIMES, type RegimeRun, runRegime } from './regimes.js';

export interface DemoOptions {
  output: string;
  steps: number;
  seed: number;
  device: string;
}

/**
 * The whole job on real text: the same fresh weights trained with monolingual, cross-lingual and hybrid batches,
 * compared with the untrained model, searched, saved and reported. Writes report.html, results.json and model/.
 */
export async function runDemo({ output, steps, seed, device }: DemoOptions, console: Console): Promise<void> {
  const times: Record<string, number> = {};
  const timed = async <T>(part: string, work: () => Promise<T>): Promise<T> => {
    const begun = performance.now();
    const result = await work();
    times[part] = (times[part] ?? 0) + (performance.now() - begun) / 1000;
    return result;
  };
  const begun = performance.now();
  await makeFolder(output);
  await requireReplaceable(join(output, 'model'), MODEL_FOLDER);
  const data = await timed('data', () => readDemoData(seed));
  const model = await timed('tokenizer', () => makeDemoModel(data.tokenizerTexts, join(output, 'start')));
  const training = demoTrainingOptions(steps, seed);
  const settings = {
    ...training,
    sampler: REGIMES.flatMap(({ sampler }) => sampler ?? []),
    trainSymbols: data.train.length,
    testSymbols: data.test.length,
    device,
  };
  console.info(`settings\n${settingsLines(settings)}`);

  const runs: RegimeRun[] = [];
  for (const regime of REGIMES) {
    runs.push(await timed(regime.name, () => runRegime(regime, data, model, training, { device }, console)));
  }
  const hybrid = runs.at(-1)!;
  const examples = await timed('search', () => searchExamples(hybrid.encoder, data));
  await timed('save', () => hybrid.encoder.save(join(output, 'model'), { overwrite: true }));
  for (const { encoder } of runs) await encoder.dispose();

  times.total = (performance.now() - begun) / 1000;
  const chance = Object.fromEntries(
    Object.entries(data.tasks).map(([kind, task]) => [kind, chanceLevels(task)]),
  );
  const results: ExperimentResults = {
    title: 'Hybrid batches on symbol names in eleven languages',
    createdAt: new Date().toISOString(),
    command: `xlembed demo --steps ${steps} --seed ${seed} --device ${device}`,
    settings,
    versions: versions(),
    times,
    languages: { trained: TRAINED, zeroShot: ZERO_SHOT },
    chance,
    regimes: runs.map(regimeResult),
    examples,
  };
  await writeTextBeside(join(output, 'results.json'), `${JSON.stringify(results, null, 2)}\n`);
  await writeTextBeside(join(output, 'report.html'), await renderReport(results));
  console.result(summary(results, output), results);
}

function regimeResult({ regime, lossCurve, trainSeconds, evaluations }: RegimeRun): RegimeResult {
  return {
    ...regime,
    steps: lossCurve.length,
    lossCurve,
    trainSeconds,
    evaluations: Object.fromEntries(
      Object.entries(evaluations).map(([kind, result]) => [kind, evaluationSummary(result)]),
    ),
  };
}

/** The measures of the paper; results.json keeps all others in the grid. */
const SHOWN = [
  'monolingual_map',
  'cross_lingual_map',
  'multilingual_map',
  'monolingual_recall_at_1',
  'cross_lingual_recall_at_1',
  'multilingual_recall_at_10',
  'language_bias',
];

function evaluationSummary({
  measures,
  groups,
  grid,
}: EvaluationResult): EvaluationSummary & Pick<EvaluationResult, 'groups'> {
  return {
    measures: Object.fromEntries(
      SHOWN.flatMap((name) => (measures[name] === undefined ? [] : [[name, measures[name]]])),
    ),
    groups,
    grid: grid.map((cell) => ({ ...cell, measures: { ...cell.measures, map: cell.measures.AP! } })),
  };
}

function summary(results: ExperimentResults, output: string): string {
  const [untrained, hybrid] = [results.regimes[0]!, results.regimes.at(-1)!];
  const learnt = ['monolingual_map', 'cross_lingual_map'].map((name) => {
    const [before, after] = [untrained, hybrid].map((regime) => regime.evaluations.cldr!.measures[name]!);
    const chance = results.chance.cldr![name]!;
    return `${name}: hybrid ${after!.toFixed(3)}, untrained ${before!.toFixed(3)} (${(after! / before!).toFixed(1)} x), chance ${chance.toFixed(3)} (${(after! / chance).toFixed(0)} x)`;
  });
  const searches = results.examples.map(({ query, queryLanguage, results: found }) =>
    [
      `${query} (${queryLanguage})`,
      ...found.map(
        ({ text, language, score, correct }) =>
          `  ${correct ? '*' : ' '} ${score.toFixed(3)} ${language}  ${text}`,
      ),
    ].join('\n'),
  );
  return [
    renderTable(results.regimes, results.chance),
    learnt.join('\n'),
    `searches with the hybrid model over the keywords of all test symbols (* is right)\n${searches.join('\n')}`,
    `${results.times.total!.toFixed(0)} s; report ${join(output, 'report.html')}, numbers ${join(output, 'results.json')}, model ${join(output, 'model')}`,
  ].join('\n\n');
}
