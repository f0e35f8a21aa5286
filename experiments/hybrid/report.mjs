#!/usr/bin/env node
// Tables and figures from results, all of them generated: into a folder, and with --readme between the marks of a file.
//
//   node experiments/hybrid/report.mjs --results <folder> --output <folder> [--readme <file>]
import { existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { biasFigure, gridFigure, mapFigure } from './lib/figures.mjs';
import { readJson, writeWhole } from './lib/files.mjs';
import { LANGUAGES } from './lib/languages.mjs';
import { encodersOf, readResults } from './lib/results.mjs';
import {
  costsTable,
  dataTable,
  findingsTable,
  leakageTable,
  paperTable,
  significanceTable,
  transferTable,
  xquadTable,
} from './lib/tables.mjs';

const { values } = parseArgs({
  options: { results: { type: 'string' }, output: { type: 'string' }, readme: { type: 'string' } },
});
if (!values.results || !values.output) {
  console.error(
    'usage: node experiments/hybrid/report.mjs --results <folder> --output <folder> [--readme <file>]',
  );
  process.exit(2);
}
const results = await readResults(values.results);
if (results.length === 0) {
  console.error(`no results in ${values.results}`);
  process.exit(1);
}
const optional = async (name) =>
  existsSync(join(values.results, name)) ? readJson(join(values.results, name)) : undefined;
const [counts, chance] = [await optional('data.json'), await optional('chance.json')];

const parts = {
  xquad: xquadTable(results, chance),
  transfer: transferTable(results),
  significance: significanceTable(results),
  findings: findingsTable(results),
  paper: paperTable(),
  costs: costsTable(results),
  ...(counts && { data: dataTable(counts, LANGUAGES), leakage: leakageTable(counts) }),
};
await mkdir(values.output, { recursive: true });
for (const encoder of encodersOf(results)) {
  const figures = {
    map: await mapFigure(results, encoder),
    bias: await biasFigure(results, encoder),
    ...Object.fromEntries(
      await Promise.all(
        ['monolingual', 'cross_lingual', 'hybrid_50'].map(async (regime) => [
          `grid-${regime}`,
          await gridFigure(results, encoder, regime),
        ]),
      ),
    ),
  };
  for (const [name, svg] of Object.entries(figures))
    if (svg) await writeWhole(join(values.output, `${encoder}-${name}.svg`), `${svg}\n`);
}
const text = Object.entries(parts)
  .map(([name, part]) => `## ${name}\n\n${part}\n`)
  .join('\n');
await writeWhole(join(values.output, 'tables.md'), text);
if (values.readme) await writeWhole(values.readme, fillIn(await readFile(values.readme, 'utf8')));
console.log(text);

/** What stands between `<!-- generated: name -->` and `<!-- end -->` is replaced. */
function fillIn(readme) {
  return readme.replace(
    /(<!-- generated: (\w+) -->\n)[\s\S]*?(<!-- end -->)/g,
    (_, open, name, close) => `${open}${parts[name] ?? 'not available'}\n${close}`,
  );
}
