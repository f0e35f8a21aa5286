import type { Projection } from '../../evaluation/projection.js';
import { cleanText, type Html } from '../html.js';
import { renderChart } from './render.js';

const SHAPES = ['circle', 'square', 'triangle-up', 'diamond', 'cross', 'triangle-down'];
/** Told apart also by colour-blind readers together with the shapes. */
const COLORS = ['#12996a', '#d9730d', '#2f81d6', '#b5539c', '#a3821a', '#6f6fd8', '#c4484b', '#7d8590'];

/** Parallel texts on a plane, one colour and shape a language; faint lines join the versions of a text. */
export function renderProjection({ points, explained }: Projection): Promise<Html> {
  const languages = [...new Set(points.map(({ language }) => cleanText(language)))];
  const values = points.map(({ language, text, x, y }) => ({ language: cleanText(language), text, x, y }));
  const axis = { labels: false, grid: false, domain: true, domainOpacity: 0.2 };
  const position = (field: 'x' | 'y', share: number) => ({
    field,
    type: 'quantitative' as const,
    title: `${(100 * share).toFixed(0)} % of the variance`,
    scale: { zero: false, nice: false, padding: 12 },
    axis,
  });
  const encoding = { x: position('x', explained[0]), y: position('y', explained[1]) };
  const legend = { orient: 'top' as const, columns: 6, symbolSize: 80 };
  const range = languages.map((_, i) => COLORS[i % COLORS.length]!);
  const shapes = languages.map((_, i) => SHAPES[i % SHAPES.length]!);
  const layer = [
    {
      mark: { type: 'line' as const, strokeWidth: 0.7, opacity: 0.18, color: 'currentColor' },
      encoding: { detail: { field: 'text' }, order: { field: 'language' } },
    },
    {
      mark: { type: 'point' as const, filled: true, size: 42, opacity: 0.85 },
      encoding: {
        color: { field: 'language', sort: languages, scale: { domain: languages, range }, legend },
        shape: { field: 'language', sort: languages, scale: { domain: languages, range: shapes }, legend },
      },
    },
  ];
  const texts = new Set(points.map(({ text }) => text)).size;
  const label = `${texts} texts in ${languages.length} languages on the plane of their two largest principal components.`;
  return renderChart({ width: 420, height: 380, data: { values }, encoding, layer }, label);
}
