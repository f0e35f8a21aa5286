import { regimeColors } from './charts/palette.js';
import { renderProjection } from './charts/projection.js';
import { comparisonCsv, settingsCsv, sharesCsv } from './csv.js';
import { type EvaluatedModel, type EvaluationComparison, MAIN_MEASURE } from './evaluation_results.js';
import { list, score, words } from './format.js';
import { type Html, html, NOTHING } from './html.js';
import { factsTable, page, settingRows } from './page.js';
import { comparisonSection } from './sections/comparison.js';
import { languageBiasSection } from './sections/language_bias.js';
import { settingsSection } from './sections/settings.js';
import { SORT_SCRIPT } from './sort_script.js';

/**
 * One or more models on one task as an HTML document, and the same numbers as CSV: file name -> text. The document loads
 * nothing; its only script sorts tables.
 */
export async function renderEvaluationReport(
  comparison: EvaluationComparison,
): Promise<Record<string, string>> {
  const { models } = comparison;
  const names = models.map(({ name }) => name);
  const colors = new Map(regimeColors(names).map((color, m) => [names[m]!, color]));
  const biased = models.some(({ result }) => result.pool.length > 0);
  const files = {
    'comparison.csv': comparisonCsv(comparison),
    'settings.csv': settingsCsv(models),
    ...(biased && { 'language-shares.csv': sharesCsv(models) }),
  };
  const sections = [
    await comparisonSection(comparison, colors),
    await settingsSection(models),
    await languageBiasSection(models, colors),
    await projectionSection(models),
    html`<section>
<h2>Files and models</h2>
<p>The numbers as tables: ${Object.keys(files).map((name) => html`<a href="${name}">${name}</a> `)}</p>
${models.map(modelFacts)}
</section>`,
  ];
  const facts = {
    title: comparison.title,
    createdAt: comparison.createdAt,
    command: comparison.command,
    settings: {},
    versions: models[0]!.versions,
    times: Object.fromEntries(models.map(({ name, seconds }) => [name, seconds])),
    languages: { trained: [], zeroShot: [] },
  };
  return { 'report.html': page(facts, summary(comparison), sections, SORT_SCRIPT), ...files };
}

/** What a reader takes away, from the numbers alone. */
function summary({ models, rows }: EvaluationComparison): string[] {
  const { task, languages, kind, grid, pool } = models[0]!.result;
  const what = `${task}: ${languages.length} languages, ${grid.length} settings${pool.length > 0 ? ' and the pool' : ''}.`;
  const leading = rows.filter(({ measure }) => measure === MAIN_MEASURE[kind]);
  const said = leading.map(({ setting, measure, models: compared }) => {
    const values = compared.map(({ value, against }, m) => {
      const p =
        against &&
        (against.test.pValue < 0.05
          ? `, significantly ${against.interval.mean < 0 ? 'worse' : 'better'}`
          : ', not significantly different');
      return `${models[m]!.name} ${value === undefined ? 'not measured' : score(value)}${p ?? ''}`;
    });
    return `${words(setting)} ${measure}: ${list(values)}.`;
  });
  return [what, ...said];
}

async function projectionSection(models: readonly EvaluatedModel[]): Promise<Html> {
  const figures: Html[] = [];
  for (const { name, result } of models) {
    if (!result.projection) continue;
    const drawing = await renderProjection(result.projection);
    figures.push(html`<figure>${drawing}<figcaption><strong>${name}</strong></figcaption></figure>\n`);
  }
  if (figures.length === 0) return NOTHING;
  return html`<section>
<h2>Parallel texts on a plane</h2>
<p class="soft">The same texts in every language, on the two principal components of their embeddings; a faint line joins
the versions of a text. Languages that form islands are told apart more strongly than meanings.</p>
<div class="figures">
${figures}</div>
</section>`;
}

function modelFacts({ name, settings, result }: EvaluatedModel): Html {
  return factsTable(name, [
    ...settingRows(settings),
    ['dimensions', String(result.dimensions)],
    ['similarity', result.similarity],
  ]);
}
