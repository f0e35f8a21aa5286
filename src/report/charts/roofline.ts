import { type BenchmarkResults, bfloat16Rate, type CaseResult, int16Rate } from '../benchmark_results.js';
import { cleanText, type Html } from '../html.js';
import { renderChart } from './render.js';

/** Middle tones that stand out from white and from near-black alike; shapes differ as well. */
const COLORS = [
  ...['#12996a', '#d9730d', '#2f81d6', '#b5539c', '#a3821a', '#6f6fd8'],
  ...['#c4484b', '#7d8590', '#1f9aa8', '#8a5a3c', '#e0559a', '#6b8e23'],
];

const logarithmic = { type: 'log' as const };
const labels = { format: '~s', tickCount: 6 };

/** Operations a second over operations per byte, both logarithmic, under the roofs that the machine sets. */
export async function renderRoofs(run: BenchmarkResults): Promise<Html> {
  const points = run.cases.flatMap(({ op, dtype, implementations }) =>
    implementations
      .filter(({ operations, bytes }) => operations > 0 && bytes > 0)
      .map(({ name, operations, bytes, seconds }) => ({
        ...{ name: cleanText(name), op: `${op} ${dtype}` },
        ...{ intensity: operations / bytes, rate: operations / seconds },
      })),
  );
  const x = {
    field: 'intensity',
    type: 'quantitative' as const,
    title: 'operations per byte',
    scale: logarithmic,
    axis: labels,
  };
  const y = {
    field: 'rate',
    type: 'quantitative' as const,
    title: 'operations per second',
    scale: logarithmic,
    axis: labels,
  };
  const legend = { orient: 'bottom' as const, columns: 2, labelLimit: 0 };
  const names = [...new Set(points.map(({ name }) => name))];
  const layer = [
    {
      data: { values: roofs(run, points) },
      mark: { type: 'line' as const, strokeWidth: 1.5, opacity: 0.7 },
      encoding: { x, y, detail: { field: 'roof' }, color: { value: 'currentColor' } },
    },
    {
      data: { values: points },
      mark: { type: 'point' as const, filled: false, size: 70, strokeWidth: 2 },
      encoding: {
        ...{ x, y },
        color: { field: 'name', sort: null, scale: { domain: names, range: COLORS }, legend },
        shape: { field: 'op', sort: null, legend },
      },
    },
  ];
  const size = { width: 860, height: 420, autosize: { type: 'pad' as const } };
  return renderChart({ ...size, layer }, `Roofline of ${run.machine}: ${points.length} points.`);
}

/** For each type of arithmetic a slope at the reading bandwidth up to the rate of matrix products, then a level. */
function roofs({ device, bounds }: BenchmarkResults, points: readonly { intensity: number }[]) {
  const intensities = points.map(({ intensity }) => intensity);
  const narrow = device === 'cpu' ? { int16: int16Rate(bounds) } : { bfloat16: bfloat16Rate(bounds) };
  const rates = { float32: bounds.float32OperationsPerSecond, ...narrow };
  return Object.entries(rates).flatMap(([roof, rate]) => {
    const corner = rate / bounds.readBytesPerSecond;
    const ends = [Math.min(corner / 4, ...intensities), corner, Math.max(corner * 4, ...intensities)];
    return ends.map((intensity) => ({
      roof,
      intensity,
      rate: Math.min(rate, intensity * bounds.readBytesPerSecond),
    }));
  });
}

/** Cases of one op and dtype that differ in one size alone. */
interface Series {
  title: string;
  size: string;
  cases: CaseResult[];
}

function seriesOf(cases: readonly CaseResult[]): Series[] {
  const series = new Map<string, Series>();
  for (const result of cases) {
    for (const size of Object.keys(result.shape)) {
      const fixed = Object.entries(result.shape).filter(([name]) => name !== size);
      const sizes = fixed.map(([name, value]) => `${name} ${value.toLocaleString('en')}`).join(', ');
      const title = `${result.op} ${result.dtype}${sizes && `, ${sizes}`}`;
      const key = `${title} by ${size}`;
      series.set(key, { title, size, cases: [...(series.get(key)?.cases ?? []), result] });
    }
  }
  return [...series.values()].filter(({ cases }) => cases.length > 2);
}

/** Seconds over a size, one chart for each size that took three values or more with all others fixed. */
export async function renderScaling(run: BenchmarkResults): Promise<{ title: string; chart: Html }[]> {
  const charts = [];
  for (const one of seriesOf(run.cases)) charts.push({ title: one.title, chart: await renderCurve(one) });
  return charts;
}

async function renderCurve({ title, size, cases }: Series): Promise<Html> {
  const rows = cases.flatMap(({ shape, implementations }) => {
    const at = shape[size]!;
    const times = implementations.map(({ name, seconds }) => ({ name: cleanText(name), at, seconds }));
    return [...times, { name: 'bound', at, seconds: implementations[0]!.boundSeconds }];
  });
  const names = [...new Set(rows.map(({ name }) => name))];
  const dashes = names.map((name) => (name === 'bound' ? [4, 4] : [1, 0]));
  const legend = { orient: 'top' as const, columns: 2, labelLimit: 0 };
  const encoding = {
    x: {
      field: 'at',
      type: 'quantitative' as const,
      title: size,
      scale: logarithmic,
      axis: labels,
    },
    y: {
      field: 'seconds',
      type: 'quantitative' as const,
      title: 'seconds',
      scale: logarithmic,
      axis: { format: '.0e', tickCount: 5 },
    },
    color: { field: 'name', sort: null, scale: { domain: names, range: COLORS }, legend },
    strokeDash: { field: 'name', sort: null, scale: { domain: names, range: dashes }, legend },
  };
  const mark = { type: 'line' as const, strokeWidth: 2, point: { size: 30 } };
  const box = { width: 380, height: 240, autosize: { type: 'pad' as const } };
  return renderChart({ ...box, data: { values: rows }, mark, encoding }, `${title}: seconds by ${size}.`);
}
