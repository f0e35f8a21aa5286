import type {
  BenchmarkResults,
  CaseResult,
  EncodingWork,
  ImplementationResult,
} from './benchmark_results.js';
import { renderRoofs, renderScaling } from './charts/roofline.js';
import { secondsText, threeDigits } from './format.js';
import { type Html, html, NOTHING } from './html.js';
import { factsTable, page } from './page.js';

/** Benchmark results of one or several machines as one HTML document: a roofline, times by size, every number. */
export async function renderRoofline(runs: readonly BenchmarkResults[]): Promise<string> {
  const first = runs[0]!;
  const sections = [];
  for (const run of runs) sections.push(await runSection(run, runs.length > 1));
  const facts = {
    title: 'Benchmarks',
    createdAt: first.createdAt,
    command: runs.map(({ command }) => command).join('\n'),
    settings: {},
    versions: runs.length === 1 ? first.versions : {},
    times: {},
    languages: { trained: [], zeroShot: [] },
  };
  return page(facts, runs.map(summaryOf), sections);
}

const giga = (value: number) => threeDigits(value / 1e9);

function summaryOf(run: BenchmarkResults): string {
  const { bounds, machine, threads, device, quick } = run;
  const place = device === 'cpu' ? `${machine}, ${threads} threads` : machine;
  return [
    `${place}: copies at ${giga(bounds.copyBytesPerSecond)} GB/s, reads at ${giga(bounds.readBytesPerSecond)} GB/s,`,
    `multiplies matrices at ${giga(bounds.float32OperationsPerSecond)} GFLOP/s in float32 and`,
    `${giga(bounds.bfloat16OperationsPerSecond)} in bfloat16, all measured in the same run.`,
    quick ? 'A quick run: small shapes and few rounds.' : '',
  ].join(' ');
}

async function runSection(run: BenchmarkResults, several: boolean): Promise<Html> {
  const curves = await renderScaling(run);
  return html`<section>
<h2>${run.machine}</h2>
${run.cases.some(({ work }) => !work) ? await roofFigure(run) : NOTHING}
${curves.length === 0 ? NOTHING : html`<div class="figures">${curves.map(curveFigure)}</div>`}
${run.cases.map(caseTable)}
${failureList(run)}
${several ? factsTable('Versions', Object.entries(run.versions)) : NOTHING}
</section>
`;
}

async function roofFigure(run: BenchmarkResults): Promise<Html> {
  return html`<figure>${await renderRoofs(run)}
<figcaption><strong>Roofline.</strong> No point can lie above the roofs: to the left memory sets the limit, to the
right arithmetic does. Both were measured first, in the same run. Inputs that stay in a cache may lie above the
slope, products of 8-bit integers above the level.</figcaption></figure>
`;
}

function curveFigure({ title, chart }: { title: string; chart: Html }): Html {
  return html`<figure>${chart}<figcaption>${title}</figcaption></figure>\n`;
}

function caseTable(result: CaseResult): Html {
  const sizes = Object.entries(result.shape).map(([name, size]) => `${name} ${size.toLocaleString('en')}`);
  const caption = `${result.op} ${result.dtype}: ${sizes.join(', ')}`;
  const fastest = Math.min(
    ...result.implementations.filter(({ kind }) => kind !== 'products').map(({ seconds }) => seconds),
  );
  const { work } = result;
  const columns = [
    'time',
    'deviation',
    ...(work ? ['tokens/s', 'texts/s'] : ['GB/s']),
    'GFLOP/s',
    'share of bound',
    'times faster than',
    'difference',
  ];
  return html`<h3>${caption}</h3>
<div class="scroll" tabindex="0" role="region" aria-label="${caption}"><table>
<thead><tr><th scope="col">implementation</th>${columns.map((name) => html`<th scope="col">${name}</th>`)}</tr></thead>
<tbody>
${result.implementations.map((one) => implementationRow(one, work, one.seconds === fastest))}</tbody>
</table></div>
${work ? html`<p>${work.tokens.toLocaleString('en')} tokens; the tokenizer alone takes ${(100 * work.tokenizerShare).toFixed(1)} % of xlembed's time.</p>` : NOTHING}
`;
}

function implementationRow(one: ImplementationResult, work: EncodingWork | undefined, best: boolean): Html {
  const { name, seconds, deviation, bytes, operations, boundSeconds, difference } = one;
  const ratios = one.ratios.map(({ peer, ratio }) => html`${ratio.toFixed(2)} x ${peer}<br>`);
  const cells = [
    `${((100 * deviation) / seconds).toFixed(1)} %`,
    ...(work
      ? [(work.tokens / seconds).toFixed(0), (work.texts / seconds).toFixed(1)]
      : [giga(bytes / seconds)]),
    giga(operations / seconds),
    `${((100 * boundSeconds) / seconds).toFixed(0)} %`,
    ratios.length > 0 ? ratios : '–',
    difference === 0 ? '0' : difference.toExponential(1),
  ];
  const time = best
    ? html`<td class="best">${secondsText(seconds)}</td>`
    : html`<td>${secondsText(seconds)}</td>`;
  return html`<tr><th scope="row">${name}</th>${time}${cells.map((cell) => html`<td>${cell}</td>`)}</tr>\n`;
}

function failureList({ failures }: BenchmarkResults): Html {
  if (failures.length === 0) return NOTHING;
  const items = failures.map((failure) => html`<li>${failure.case}: ${failure.error}</li>\n`);
  return html`<h3>Not measured</h3><ul>\n${items}</ul>`;
}
