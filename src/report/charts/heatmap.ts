import { cleanText, type Html } from '../html.js';
import type { GridCell, RunFacts } from '../results.js';
import { rampScale, renderMatrix } from './matrix.js';

/** Languages of a heatmap, trained ones first; `hidden` more would not fit. */
export interface HeatmapAxis {
  trained: string[];
  zeroShot: string[];
  hidden: number;
}

/** An empty row and column between trained and zero-shot languages. */
const GAP = ' ';

/** Which languages the heatmaps show, at most `most` of them. A language in neither list counts as zero-shot. */
export function heatmapAxis(
  grid: readonly GridCell[],
  languages: RunFacts['languages'],
  most: number,
): HeatmapAxis {
  const all = new Set(grid.flatMap((cell) => [cell.queryLanguage, cell.passageLanguage]));
  const trained = languages.trained.filter((language) => all.delete(language));
  const zeroShot = [...languages.zeroShot.filter((language) => all.delete(language)), ...all];
  const shown = trained.slice(0, most);
  const rest = zeroShot.slice(0, most - shown.length);
  return {
    trained: shown,
    zeroShot: rest,
    hidden: trained.length + zeroShot.length - shown.length - rest.length,
  };
}

/** Largest mAP of the grids, rounded up to a tenth: the end of a colour scale that several heatmaps share. */
export function heatmapMaximum(grids: readonly (readonly GridCell[])[]): number {
  const values = grids
    .flat()
    .map((cell) => cell.measures.map ?? 0)
    .filter(Number.isFinite);
  return Math.max(0.1, Math.ceil(Math.max(0, ...values) * 10) / 10);
}

/** Zero-shot languages carry an asterisk. */
const labels = ({ trained, zeroShot }: HeatmapAxis) =>
  new Map([
    ...trained.map((language) => [language, cleanText(language)] as const),
    ...zeroShot.map((language) => [language, `${cleanText(language)}*`] as const),
  ]);

/** mAP by query language (down) and passage language (across), from 0 to `maximum`. */
export async function renderHeatmap(
  name: string,
  grid: readonly GridCell[],
  axis: HeatmapAxis,
  maximum: number,
): Promise<Html> {
  const label = labels(axis);
  const values = grid.flatMap(({ queryLanguage, passageLanguage, measures }) => {
    const [query, passage, map] = [label.get(queryLanguage), label.get(passageLanguage), measures.map];
    const shown = query !== undefined && passage !== undefined && Number.isFinite(map);
    return shown ? [{ query, passage, value: Number(map!.toFixed(4)) }] : [];
  });
  const gap = axis.trained.length > 0 && axis.zeroShot.length > 0 ? [GAP] : [];
  const names = [...label.values()];
  const domain = [...names.slice(0, axis.trained.length), ...gap, ...names.slice(axis.trained.length)];
  return renderMatrix(values, domain, rampScale(maximum), describeHeatmap(name, grid, axis));
}

function describeHeatmap(name: string, grid: readonly GridCell[], { hidden }: HeatmapAxis): string {
  const cells = grid.filter((cell) => Number.isFinite(cell.measures.map));
  const sorted = [...cells].sort((a, b) => a.measures.map! - b.measures.map!);
  const tell = (cell: GridCell) =>
    `${cell.measures.map!.toFixed(2)} for ${cell.queryLanguage} queries on ${cell.passageLanguage} passages`;
  if (sorted.length === 0) return `${name}: no settings were measured.`;
  const left = hidden > 0 ? ` ${hidden} languages are not drawn.` : '';
  return `${name}: mAP of ${cells.length} settings, from ${tell(sorted[0]!)} to ${tell(sorted.at(-1)!)}.${left}`;
}
