import { amount, words } from '../format.js';
import { cleanText, type Html } from '../html.js';
import { regimeColors } from './palette.js';
import { renderChart } from './render.js';

/** One horizontal bar a name, with its value at the end. */
export async function renderBars(
  title: string,
  bars: readonly { name: string; value: number }[],
): Promise<Html> {
  const names = bars.map((bar) => bar.name);
  const shown = names.map((name) => words(cleanText(name)));
  const values = bars.map(({ value }, i) => ({ name: shown[i], value, label: amount(value) }));
  const maximum = Math.max(1e-9, ...bars.map((bar) => bar.value));
  const x = {
    field: 'value',
    type: 'quantitative' as const,
    axis: null,
    scale: { domain: [0, maximum * 1.12] },
  };
  const y = { field: 'name', type: 'nominal' as const, sort: null, title: null, axis: { labelFontSize: 13 } };
  const color = { field: 'name', legend: null, scale: { domain: shown, range: regimeColors(names) } };
  const layer = [
    { mark: { type: 'bar' as const, height: { band: 0.68 } }, encoding: { color } },
    {
      mark: { type: 'text' as const, align: 'left' as const, dx: 6, fontSize: 13 },
      encoding: { text: { field: 'label' } },
    },
  ];
  const said = bars.map((bar, i) => `${shown[i]} ${amount(bar.value)}`).join(', ');
  const spec = { width: 420, height: { step: 34 }, data: { values }, encoding: { x, y }, layer };
  return renderChart(spec, `${title}: ${said}.`);
}
