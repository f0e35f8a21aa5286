import { type Alpha, alphaBounds } from './alpha.js';
import type { Draw } from './draws.js';
import type { ResolvedOptions } from './options.js';

export interface CellDescription {
  /** Name of the data set; absent where there is one alone. */
  dataset?: string;
  queryLanguage: string;
  positiveLanguage: string;
  records: number;
  /** Monolingual: of a pair of such a batch coming from it. Cross-lingual: of a pair being of this combination. */
  probability: number;
}

/** What a sampler draws from, and how often. */
export interface SamplerDescription {
  sampler: ResolvedOptions['sampler'];
  /** Probability of a monolingual batch. */
  alpha: Alpha;
  batchSize: number;
  records: number;
  /** Records that no batch can hold: they have no drawable combination of the training languages. */
  unreachableRecords: number;
  /** Records that share a text with another record, and so may be kept out of a batch by it. */
  recordsSharingTexts: number;
  languages: string[];
  /** Languages that no batch may hold. */
  heldOutLanguages: string[];
  /** Held-out language -> texts of the data in it (queries, positives, negatives). */
  heldOutTexts: Record<string, number>;
  /** Data sets with their records and, where they have weights, the share of the pairs that they are meant to give. */
  datasets: { name: string; records: number; share?: number }[];
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
  heldOutTexts: Record<string, number>;
  /** Of each data set. */
  counts: number[][][];
  records: number;
  unreachableRecords: number;
  recordsSharingTexts: number;
  monolingual: Draw;
  crossLingual: Draw;
}

export function describeSampler(parts: SamplerParts): SamplerDescription {
  const { options, heldOutTexts, counts, records, unreachableRecords, recordsSharingTexts } = parts;
  const { sampler, alpha, batchSize, languages, datasets, weighted } = options;
  const total = datasets.reduce((sum, { weight }) => sum + weight, 0);
  const reaches = ({ groups }: Draw) => groups.every(({ reachable }) => reachable >= batchSize);
  return {
    ...{ sampler, alpha, batchSize, records, unreachableRecords, recordsSharingTexts },
    languages: [...languages],
    heldOutLanguages: Object.keys(heldOutTexts),
    heldOutTexts,
    datasets: datasets.map(({ name, first, end, weight }) => ({
      ...{ name, records: end - first },
      ...(weighted && { share: weight / total }),
    })),
    counts: languages.map((_, x) =>
      languages.map((_, y) => counts.reduce((sum, matrix) => sum + matrix[x]![y]!, 0)),
    ),
    monolingual: describeDraw(parts.monolingual, options),
    crossLingual: describeDraw(parts.crossLingual, options),
    shortMonolingual: shortLanguages(parts.monolingual, options),
    shortCrossLingual: !reaches(parts.crossLingual),
  };
}

function describeDraw({ groups, weights, choice }: Draw, options: ResolvedOptions): CellDescription[] {
  const { languages, datasets } = options;
  return groups.flatMap((group, g) =>
    group.cells.map(({ dataset, query, positive, count }, i) => ({
      ...(datasets.length > 1 && { dataset: datasets[dataset]!.name }),
      queryLanguage: languages[query]!,
      positiveLanguage: languages[positive]!,
      records: count,
      probability: ((weights[g]! / choice.total) * group.weights[i]!) / group.choice.total,
    })),
  );
}

function shortLanguages({ groups }: Draw, { languages, batchSize }: ResolvedOptions): string[] {
  const short = groups.filter(({ reachable }) => reachable < batchSize);
  return [...new Set(short.map(({ cells }) => languages[cells[0]!.query]!))];
}

const percent = (probability: number) => `${(100 * probability).toFixed(1)} %`;

/** Plain text for a terminal: a summary line, the matrix of counts, and what will run short. */
export function formatSamplerDescription(description: SamplerDescription): string {
  const { sampler, batchSize, records, unreachableRecords, recordsSharingTexts, datasets } = description;
  const lines = [
    `sampler ${sampler}: ${kinds(description.alpha)}, ${batchSize} pairs a batch`,
    ...(datasets.length > 1 ? [`data sets ${datasets.map(datasetText).join(', ')}`] : []),
    `records ${records}; in no batch ${unreachableRecords}; sharing texts ${recordsSharingTexts}`,
    `languages ${description.languages.join(' ')}; held out: ${heldOutText(description.heldOutTexts)}`,
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

function kinds(alpha: Alpha): string {
  const { least, largest } = alphaBounds(alpha);
  if (least === largest) return `${percent(least)} monolingual, ${percent(1 - least)} cross-lingual`;
  if (typeof alpha === 'object' && 'from' in alpha) {
    return `from ${percent(alpha.from)} to ${percent(alpha.to)} monolingual, the rest cross-lingual`;
  }
  return `${percent(least)} to ${percent(largest)} monolingual by a list of batches, the rest cross-lingual`;
}

const datasetText = ({ name, records, share }: SamplerDescription['datasets'][number]) =>
  `${name} ${share === undefined ? '' : `${percent(share)} `}(${records} records)`;

function heldOutText(texts: Record<string, number>): string {
  const each = Object.entries(texts).map(([language, count]) => `${language} (${count} texts)`);
  return each.join(', ') || 'none';
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
