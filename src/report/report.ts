import { z } from 'zod';
import { checkOptions, listSchema } from '../checked_options.js';
import { score, words } from './format.js';
import { html, NOTHING } from './html.js';
import { page } from './page.js';
import type { ExperimentResults, TrainingResults } from './results.js';
import { measureSections } from './sections/measures.js';
import { progressSection } from './sections/progress.js';
import { searchSection } from './sections/searches.js';
import { lastMean, trainingSection } from './sections/training.js';
import { summarize } from './summary.js';

const experiment = z.looseObject({ regimes: listSchema, examples: listSchema });
const training = z.looseObject({ run: z.looseObject({ name: z.string() }), notes: listSchema });

/**
 * An experiment as one HTML document: no scripts, nothing loaded, every text escaped. Regime names must be
 * unique. Measures: mAP and Recall in 0..1, language bias in ranks, as in arXiv 2408.10536. Throws INVALID_ARGUMENT.
 */
export async function renderReport(results: ExperimentResults): Promise<string> {
  checkOptions(experiment, results);
  const sections = [
    ...(await measureSections(results)),
    await trainingSection(results.regimes),
    searchSection(results.examples),
  ];
  return page(results, summarize(results), sections);
}

/** One training run as an HTML document of the same kind: curves, notes, settings, versions, times. Throws INVALID_ARGUMENT. */
export async function renderTrainingReport(results: TrainingResults): Promise<string> {
  checkOptions(training, results);
  const { run, notes } = results;
  const items = notes.map((note) => html`<li>${note}</li>\n`);
  const remarks = notes.length === 0 ? NOTHING : html`<section><h2>Notes</h2><ul>\n${items}</ul></section>`;
  const sections = [await trainingSection([run]), await progressSection(run), remarks];
  return page(results, [trainingSummary(run)], sections);
}

function trainingSummary(run: TrainingResults['run']): string {
  const { name, sampler, steps, lossCurve } = run;
  const first = lossCurve.find((point) => Number.isFinite(point.loss));
  const batches = sampler === null ? '' : ` with ${words(sampler).toLowerCase()} batches`;
  if (!first) return `${words(name)}: ${steps} steps${batches}.`;
  return `${words(name)}: ${steps} steps${batches}; loss from ${score(first.loss)} to ${lastMean(run, 'loss')}.`;
}
