import type { Html } from '../html.js';
import { RAMP } from './palette.js';
import { renderChart } from './render.js';

/** A value for a query language (down) and a passage language (across), by their labels. */
export interface MatrixCell {
  query: string;
  passage: string;
  value: number;
}

export interface MatrixScale {
  /** Ends of the colours; a diverging one has three. */
  domain: number[];
  range: string[];
  /** A Vega expression over `datum.value` that says where the ground is light. */
  lightWhere: string;
  /** What a cell says; five characters fit. */
  text(value: number): string;
  interpolate?: 'rgb';
}

/** Languages of a drawing; a page of four with more would pass a megabyte. */
export const MOST_LANGUAGES = 40;

/** Up to here the cells are wide enough to print their values. */
const MOST_WITH_VALUES = 15;

export function rampScale(maximum: number): MatrixScale {
  return {
    domain: [0, maximum],
    range: RAMP,
    lightWhere: `datum.value > ${0.55 * maximum}`,
    text: (value) => value.toFixed(2),
  };
}

/** Red below zero, blue above, as light as paper at zero. */
export function differenceScale(extreme: number): MatrixScale {
  return {
    domain: [-extreme, 0, extreme],
    range: ['#b3402f', '#f4f2ec', '#1f5fa8'],
    lightWhere: `abs(datum.value) < ${0.6 * extreme}`,
    text: differenceText,
    interpolate: 'rgb',
  };
}

/** `+.02`, `−.13`; nothing that rounds to zero has a sign. */
function differenceText(value: number): string {
  const size = Math.abs(value).toFixed(2);
  if (Number(size) === 0) return '0';
  return `${value < 0 ? '−' : '+'}${size.replace(/^0/, '')}`;
}

/** `order` lists the labels of both axes; ' ' leaves an empty row and column. */
export function renderMatrix(
  cells: readonly MatrixCell[],
  order: readonly string[],
  scale: MatrixScale,
  label: string,
): Promise<Html> {
  const wide = order.length <= MOST_WITH_VALUES;
  const step = { step: wide ? 30 : 14 };
  const band = { domain: [...order], paddingInner: 0.06, paddingOuter: 0 };
  const axis = { labelOverlap: false, labelFontSize: wide ? 12 : 9, labelPadding: 4, grid: false };
  const x = { field: 'passage', type: 'nominal' as const, scale: band, title: 'passage language' };
  const y = { field: 'query', type: 'nominal' as const, scale: band, title: 'query language' };
  const { lightWhere, text, ...colors } = scale;
  const color = { field: 'value', type: 'quantitative' as const, legend: null, scale: colors };
  const ink = { condition: { test: lightWhere, value: '#10131a' }, value: '#ffffff' };
  const rects = { mark: { type: 'rect' as const }, encoding: { color } };
  const numbers = {
    mark: { type: 'text' as const, fontSize: 10 },
    encoding: { text: { field: 'label' }, color: ink },
  };
  const long = order.some((name) => name.length > 4);
  const spec = {
    ...{
      width: step,
      height: step,
      data: { values: cells.map((cell) => ({ ...cell, label: text(cell.value) })) },
    },
    encoding: {
      x: { ...x, axis: { ...axis, orient: 'top' as const, labelAngle: wide && !long ? 0 : -90 } },
      y: { ...y, axis },
    },
    layer: wide ? [rects, numbers] : [rects],
  };
  return renderChart(spec, label);
}
