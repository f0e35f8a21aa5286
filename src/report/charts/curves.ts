import { words } from '../format.js';
import { cleanText, type Html } from '../html.js';
import type { LossPoint } from '../results.js';
import { dashes, regimeColors } from './palette.js';
import { renderChart } from './render.js';

export interface Curve {
  name: string;
  points: readonly LossPoint[];
}

interface Row {
  name: string;
  step: number;
  raw: number;
  smooth: number;
}

/** Points drawn of one curve; a screen has no more columns. */
const MOST_POINTS = 300;

/**
 * Exponential mean over about 1/40 of the curve, freed of its start at zero as in Adam (Kingma and Ba,
 * arXiv 1412.6980). Steps without a finite value are left out.
 */
export function smoothCurve(points: readonly LossPoint[], value: (point: LossPoint) => number) {
  const finite = points.filter((point) => Number.isFinite(value(point)));
  const decay = 1 - 1 / Math.max(1, finite.length / 40);
  let sum = 0;
  let weight = 0;
  return finite.map((point) => {
    sum = decay * sum + (1 - decay) * value(point);
    weight = decay * weight + (1 - decay);
    return { step: point.step, raw: value(point), smooth: sum / weight };
  });
}

/** Every k-th item, and the last. */
function thin<T>(items: readonly T[]): T[] {
  const every = Math.ceil(items.length / MOST_POINTS);
  return items.filter((_, i) => i % every === 0 || i === items.length - 1);
}

const rounded = (value: number) => Number(value.toPrecision(5));

function rowsOf(curves: readonly Curve[], key: 'loss' | 'accuracy'): Row[] {
  return curves.flatMap(({ name, points }) =>
    thin(smoothCurve(points, (point) => point[key])).map(({ step, raw, smooth }) => {
      return { name: words(cleanText(name)), step, raw: rounded(raw), smooth: rounded(smooth) };
    }),
  );
}

/** Loss or accuracy over steps, one line a curve: smoothed in front of the faint single steps. */
export async function renderCurves(curves: readonly Curve[], key: 'loss' | 'accuracy'): Promise<Html> {
  const names = curves.map((curve) => curve.name);
  const shown = names.map((name) => words(cleanText(name)));
  const x = {
    field: 'step',
    type: 'quantitative' as const,
    title: 'step',
    axis: { grid: false, tickCount: 6, tickMinStep: 1 },
  };
  const y = (field: string) => ({
    ...{ field, type: 'quantitative' as const, title: key === 'loss' ? 'loss' : 'in-batch accuracy' },
    ...(key === 'accuracy' && { scale: { domain: [0, 1] } }),
    axis: { tickCount: 5 },
  });
  const legend = shown.length > 1 ? { orient: 'top' as const, columns: 4, symbolOpacity: 1 } : null;
  const color = { field: 'name', sort: null, scale: { domain: shown, range: regimeColors(names) }, legend };
  const strokeDash = { field: 'name', sort: null, scale: { domain: shown, range: dashes(names) }, legend };
  const line = (field: string, width: number, opacity: number) => ({
    mark: { type: 'line' as const, strokeWidth: width, opacity, strokeJoin: 'round' as const },
    encoding: { x, y: y(field), color, ...(opacity === 1 ? { strokeDash } : { detail: { field: 'name' } }) },
  });
  const values = rowsOf(curves, key);
  const size = { width: 420, height: 240, autosize: { type: 'pad' as const } };
  const layer = [line('raw', 1, 0.22), line('smooth', 2.2, 1)];
  return renderChart({ ...size, data: { values }, layer }, describeCurves(curves, key));
}

function describeCurves(curves: readonly Curve[], key: 'loss' | 'accuracy'): string {
  const each = curves.map(({ name, points }) => {
    const smooth = smoothCurve(points, (point) => point[key]);
    const [first, last] = [smooth[0], smooth.at(-1)];
    return first && last
      ? `${words(name)} from ${first.smooth.toFixed(2)} to ${last.smooth.toFixed(2)} in ${last.step} steps`
      : `${words(name)} without values`;
  });
  return `Training ${key} by step: ${each.join('; ')}.`;
}
