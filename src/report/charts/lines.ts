import type { Html } from '../html.js';
import { dashes, regimeColors } from './palette.js';
import { renderChart } from './render.js';

export interface Line {
  name: string;
  points: readonly { step: number; value: number }[];
}

/** Points drawn of one line; a screen has no more columns. */
const MOST_POINTS = 300;

/** Values over steps, one line a name. */
export function renderLines(lines: readonly Line[], title: string): Promise<Html> {
  const names = lines.map(({ name }) => name);
  const values = lines.flatMap(({ name, points }) => {
    const every = Math.ceil(points.length / MOST_POINTS);
    return points
      .filter(({ value }, i) => Number.isFinite(value) && (i % every === 0 || i === points.length - 1))
      .map(({ step, value }) => ({ name, step, value: Number(value.toPrecision(5)) }));
  });
  const axis = { grid: false, tickCount: 6, tickMinStep: 1 };
  const legend =
    names.length > 1 ? { orient: 'top' as const, columns: 2, labelLimit: 0, symbolOpacity: 1 } : null;
  const spec = {
    ...{ width: 420, height: 240, autosize: { type: 'pad' as const }, data: { values } },
    mark: { type: 'line' as const, strokeWidth: 2.2, point: lines.every(({ points }) => points.length < 40) },
    encoding: {
      x: { field: 'step', type: 'quantitative' as const, title: 'step', axis },
      y: { field: 'value', type: 'quantitative' as const, title, axis: { tickCount: 5 } },
      color: { field: 'name', sort: null, scale: { domain: names, range: regimeColors(names) }, legend },
      strokeDash: { field: 'name', sort: null, scale: { domain: names, range: dashes(names) }, legend },
    },
  };
  return renderChart(spec, describe(lines, title));
}

function describe(lines: readonly Line[], title: string): string {
  const each = lines.map(({ name, points }) => {
    const [first, last] = [points[0], points.at(-1)];
    return first && last
      ? `${name} from ${first.value.toPrecision(3)} to ${last.value.toPrecision(3)}`
      : `${name} without values`;
  });
  return `${title} by step: ${each.join('; ')}.`;
}
