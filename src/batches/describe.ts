import type { Cell } from './cells.js';
import type { CellGroup } from './fill.js';
import type { ResolvedOptions } from './options.js';

export interface CellDescription {
  queryLanguage: string;
  positiveLanguage: string;
  records: number;
  /** Monolingual: of a batch being in this language. Cross-lingual: of a pair being of this combination. */
  probability: number;
}

/** What a sampler draws from, and how often. */
export interface SamplerDescription {
  sampler: ResolvedOptions['sampler'];
  /** Probability of a monolingual batch. */
  alpha: number;
  batchSize: number;
  records: number;
  /** Records that no batch can hold: they have no drawable combination of the training languages. */
  unreachableRecords: number;
  /** Records that share a text with another record, and so may be kept out of a batch by it. */
  recordsSharingTexts: number;
  languages: string[];
  heldOutLanguages: string[];
  /** [query language][positive language], in the order of `languages`: number of records that have both. */
  counts: number[][];
  /** Cells that are drawn; probabilities within each list sum to 1. */
  monolingual: CellDescription[];
  crossLingual: CellDescription[];
  /** Languages whose monolingual batches cannot reach batchSize: they have fewer records. */
  shortMonolingual: string[];
  /** True where cross-lingual batches cannot reach batchSize. */
  shortCrossLingual: boolean;
}

export interface SamplerParts {
  options: ResolvedOptions;
  /** Every language of the dataset. */
  known: readonly string[];
  counts: number[][];
  records: number;
  unreachableRecords: number;
  recordsSharingTexts: number;
  monolingual: CellGroup;
  crossLingual: CellGroup;
}

export function describeSampler(parts: SamplerParts): SamplerDescription {
  const { options, known, counts, records, unreachableRecords, recordsSharingTexts } = parts;
  const { sampler, alpha, batchSize, languages } = options;
  const monolingual = describeCells(parts.monolingual, languages);
  return {
    ...{ sampler, alpha, batchSize, records, unreachableRecords, recordsSharingTexts },
    languages: [...languages],
    heldOutLanguages: known.filter((language) => !languages.includes(language)),
    counts: counts.map((row) => [...row]),
    monolingual,
    crossLingual: describeCells(parts.crossLingual, languages),
    shortMonolingual: monolingual
      .filter((cell) => cell.records < batchSize)
      .map((cell) => cell.queryLanguage),
    shortCrossLingual: parts.crossLingual.cells.length > 0 && parts.crossLingual.reachable < batchSize,
  };
}

function describeCells({ cells, weights, choice }: CellGroup, languages: string[]): CellDescription[] {
  return cells.map(({ query, positive, count }: Cell, i) => ({
    queryLanguage: languages[query]!,
    positiveLanguage: languages[positive]!,
    records: count,
    probability: weights[i]! / choice.total,
  }));
}

const percent = (probability: number) => `${(100 * probability).toFixed(1)} %`;

/** Plain text for a terminal: a summary line, the matrix of counts, and what will run short. */
export function formatSamplerDescription(description: SamplerDescription): string {
  const { sampler, alpha, batchSize, records, unreachableRecords, recordsSharingTexts } = description;
  const lines = [
    `sampler ${sampler}: ${percent(alpha)} monolingual, ${percent(1 - alpha)} cross-lingual, ${batchSize} pairs a batch`,
    `records ${records}; in no batch ${unreachableRecords}; sharing texts ${recordsSharingTexts}`,
    `languages ${description.languages.join(' ')}; held out: ${description.heldOutLanguages.join(' ') || 'none'}`,
    ...matrixLines(description),
  ];
  if (description.monolingual.length > 0)
    lines.push(`monolingual batches: ${shares(description.monolingual)}`);
  if (description.shortMonolingual.length > 0) {
    lines.push(`fewer than ${batchSize} records, short batches: ${description.shortMonolingual.join(' ')}`);
  }
  if (description.shortCrossLingual) lines.push('cross-lingual batches will be short: too few records');
  return lines.join('\n');
}

const shares = (cells: CellDescription[]) =>
  cells.map((cell) => `${cell.queryLanguage} ${percent(cell.probability)}`).join(', ');

/** The count matrix, query languages down and positive languages across, columns aligned. */
function matrixLines({ languages, counts }: SamplerDescription): string[] {
  const rows = [['query \\ positive', ...languages]];
  languages.forEach((language, x) => {
    rows.push([language, ...counts[x]!.map(String)]);
  });
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const align = (cell: string, column: number) =>
    column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!);
  return rows.map((row) => row.map(align).join('  '));
}
