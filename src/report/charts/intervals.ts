import { cleanText, type Html } from '../html.js';
import { renderChart } from './render.js';

export interface IntervalBar {
  /** What is measured. */
  row: string;
  model: string;
  value: number;
  low: number | undefined;
  high: number | undefined;
}

/** Rows of one bar a model, each with its confidence interval where there is one. */
export function renderIntervals(
  bars: readonly IntervalBar[],
  colors: ReadonlyMap<string, string>,
  format: (value: number) => string,
): Promise<Html> {
  const models = [...colors.keys()].map(cleanText);
  const values = bars.map((bar) => {
    const end = Math.max(0, bar.high ?? bar.value);
    return { ...bar, row: cleanText(bar.row), model: cleanText(bar.model), end, label: format(bar.value) };
  });
  const maximum = Math.max(1e-9, ...values.map(({ end }) => end));
  // Correlations may be negative.
  const minimum = Math.min(0, ...values.map(({ value, low }) => low ?? value));
  const x = (field: string) => ({
    field,
    type: 'quantitative' as const,
    title: null,
    scale: { domain: [minimum, maximum + 0.3 * (maximum - minimum)] },
    axis: { tickCount: 4, format: maximum < 1000 ? '~g' : ',d' },
  });
  const names = [...new Set(values.map(({ row }) => row))];
  const y = {
    field: 'row',
    type: 'nominal' as const,
    sort: names,
    title: null,
    axis: { labelLimit: 0 },
    scale: { paddingInner: 0.3 },
  };
  const yOffset = { field: 'model', type: 'nominal' as const, sort: models };
  const color = {
    field: 'model',
    sort: models,
    scale: { domain: models, range: [...colors.values()] },
    legend: null,
  };
  const layer = [
    { mark: { type: 'bar' as const }, encoding: { x: x('value'), color } },
    {
      transform: [{ filter: 'isValid(datum.low)' }],
      mark: { type: 'rule' as const, strokeWidth: 2, color: 'currentColor' },
      encoding: { x: x('low'), x2: { field: 'high' } },
    },
    {
      mark: { type: 'text' as const, align: 'left' as const, dx: 5, fontSize: 11 },
      encoding: { x: x('end'), text: { field: 'label' } },
    },
  ];
  // The whole drawing has one width, whatever its labels take, so that letters are as large in all of them.
  const size = {
    width: 440,
    height: { step: 17, for: 'offset' as const },
    autosize: { type: 'fit-x' as const, contains: 'padding' as const },
  };
  const said = bars.map(({ row, model, value }) => `${row} of ${model} ${format(value)}`).join(', ');
  return renderChart({ ...size, data: { values }, encoding: { y, yOffset }, layer }, `${said}.`);
}
