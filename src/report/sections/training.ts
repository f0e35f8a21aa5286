import { renderCurves } from '../charts/curves.js';
import { regimeColors } from '../charts/palette.js';
import { duration, score } from '../format.js';
import { type Html, html, NOTHING } from '../html.js';
import type { RegimeResult } from '../results.js';
import { regimeHeader, scrollTable } from './measures.js';

type Trained = Pick<RegimeResult, 'name' | 'sampler' | 'alpha' | 'steps' | 'lossCurve' | 'trainSeconds'>;

/** Steps at the end of a curve that its last value is the mean of: one step alone is noise. */
const LAST_STEPS = 20;

export function lastMean(regime: Trained, key: 'loss' | 'accuracy'): string {
  const values = regime.lossCurve
    .map((point) => point[key])
    .filter(Number.isFinite)
    .slice(-LAST_STEPS);
  return values.length === 0 ? '–' : score(values.reduce((a, b) => a + b, 0) / values.length);
}

function trainingRow(regime: Trained, color: string): Html {
  return html`<tr>${regimeHeader(regime, color)}<td>${regime.alpha ?? '–'}</td><td>${regime.steps}</td>\
<td>${duration(regime.trainSeconds)}</td><td>${lastMean(regime, 'loss')}</td><td>${lastMean(regime, 'accuracy')}</td></tr>\n`;
}

/** Steps whose loss was no number are not in the drawing, so they are counted beside it. */
function missing(regimes: readonly Trained[]): string {
  const count = regimes
    .flatMap((regime) => regime.lossCurve)
    .filter((point) => !Number.isFinite(point.loss)).length;
  return count === 0 ? '' : ` Steps without a finite loss, left out: ${count}.`;
}

/** Loss and accuracy curves of the regimes that were trained, and a table of their steps and times. */
export async function trainingSection(regimes: readonly Trained[]): Promise<Html> {
  const trained = regimes.filter((regime) => regime.sampler !== null);
  if (trained.length === 0) return NOTHING;
  const all = regimeColors(regimes.map((regime) => regime.name));
  const rows = trained.map((regime) => trainingRow(regime, all[regimes.indexOf(regime)]!));
  const heads = [
    'Regime',
    'Alpha',
    'Steps',
    'Time',
    `Loss, last ${LAST_STEPS} steps`,
    `Accuracy, last ${LAST_STEPS} steps`,
  ];
  return html`<section>
<h2>Training</h2>
${scrollTable('Steps, time and loss of every regime', heads, rows)}
${await curves(trained)}
</section>`;
}

async function curves(trained: readonly Trained[]): Promise<Html> {
  const drawn = trained
    .filter((regime) => regime.lossCurve.some((point) => Number.isFinite(point.loss)))
    .map((regime) => ({ name: regime.name, points: regime.lossCurve }));
  if (drawn.length === 0) return NOTHING;
  const caution = drawn.length > 1 ? ' Batches of different regimes are not equally hard.' : '';
  return html`<div class="figures">
<figure>${await renderCurves(drawn, 'loss')}<figcaption>Loss of the training batches: smoothed, with single steps
faint behind.${missing(trained)}</figcaption></figure>
<figure>${await renderCurves(drawn, 'accuracy')}<figcaption>Share of queries whose passage scored highest in
the batch.${caution}</figcaption></figure>
</div>`;
}
