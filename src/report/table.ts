import { cleanText } from './html.js';
import { kindName } from './kinds.js';
import { bestOf, columnsOf, kindsOf, type MeasureColumn, valueIn } from './measures.js';
import type { ExperimentResults, RegimeResult } from './results.js';

const flat = (text: string) => cleanText(text).replace(/\s+/gu, ' ').replace(/\|/g, '\\|');

/** Aligned columns: the first to the left, the others to the right. Valid Markdown, and readable without. */
function drawTable(rows: readonly string[][]): string {
  const widths = rows[0]!.map((_, c) => Math.max(3, ...rows.map((row) => row[c]!.length)));
  const draw = (row: string[]) =>
    `| ${row.map((cell, c) => (c === 0 ? cell.padEnd(widths[c]!) : cell.padStart(widths[c]!))).join(' | ')} |`;
  const rule = widths.map((width, c) => (c === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`));
  return [draw(rows[0]!), draw(rule), ...rows.slice(1).map(draw)].join('\n');
}

function cellText(value: number | undefined, column: MeasureColumn, best: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return '–';
  return value === best ? `*${column.format(value)}*` : column.format(value);
}

function kindTable(regimes: readonly RegimeResult[], kind: string, chance: Record<string, number>): string {
  const withChance = Object.keys(chance).length > 0;
  const rows = columnsOf(regimes, kind).map((column) => {
    const best = bestOf(regimes, kind, column);
    const values = regimes.map((regime) => cellText(valueIn(regime, kind, column.key), column, best));
    const level = withChance ? [cellText(chance[column.key], column, undefined)] : [];
    return [flat(column.label), ...values, ...level];
  });
  const names = regimes.map((regime) => flat(regime.name));
  return drawTable([[flat(kindName(kind)), ...names, ...(withChance ? ['chance'] : [])], ...rows]);
}

/**
 * Measures x regimes as plain text of some 90 columns, one Markdown table for each kind of text; the best of a
 * measure stands between asterisks.
 */
export function renderTable(
  regimes: readonly RegimeResult[],
  chance: ExperimentResults['chance'] = {},
): string {
  return kindsOf(regimes)
    .map((kind) => `${kindTable(regimes, kind, chance[kind] ?? {})}\n`)
    .join('\n');
}
