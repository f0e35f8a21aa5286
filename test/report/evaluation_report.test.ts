import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { renderEvaluationReport } from '#xlembed/report/evaluation_report.js';
import { Browser, findChromium } from './browser.js';
import { sampleComparison } from './evaluation_sample.js';
import { all, parseMarkup, rowsOf, textOf } from './markup.js';

const comparison = await sampleComparison();
const files = await renderEvaluationReport(comparison);
const html = files['report.html']!;
const chromium = findChromium();
const folder = mkdtempSync(join(tmpdir(), 'xlembed-report-'));
after(() => rmSync(folder, { recursive: true }));

test('the rows hold averages, intervals and tests against the first model', () => {
  const row = comparison.rows.find(
    ({ setting, measure }) => setting === 'cross_lingual' && measure === 'AP',
  )!;
  const [base, tuned] = row.models;
  assert.equal(base!.value, comparison.models[0]!.result.measures.cross_lingual_map);
  assert.ok(base!.interval!.low <= base!.value! && base!.value! <= base!.interval!.high);
  assert.equal(base!.against, undefined);
  assert.ok(Math.abs(tuned!.against!.test.difference - (tuned!.value! - base!.value!)) < 1e-12);
  assert.deepEqual(
    [...new Set(comparison.rows.map(({ setting }) => setting))],
    ['monolingual', 'cross_lingual', 'multilingual'],
  );
});

test('one file: every part is there, texts are escaped, nothing is loaded and one script may run', () => {
  const page = parseMarkup(html);
  assert.deepEqual(all(page, 'h2').map(textOf), [
    'Measures',
    'AP by language',
    'Language bias',
    'Parallel texts on a plane',
    'Files and models',
    'How it was made',
  ]);
  // Intervals, two grids and their difference, rank distances, two bias matrices, two projections.
  assert.equal(all(page, 'svg').length, 9);
  assert.doesNotMatch(html, /<i>|<b>|src=|@import|url\(|https?:/);
  const script = textOf(all(page, 'script')[0]!);
  assert.ok(
    html.includes(`script-src &#39;sha256-${createHash('sha256').update(script).digest('base64')}&#39;`),
  );
  assert.deepEqual(
    all(page, 'a').map((link) => link.attributes.get('href')),
    ['comparison.csv', 'settings.csv', 'language-shares.csv'],
  );
  const [measures, settings] = all(page, 'table').map(rowsOf);
  assert.equal(measures!.length, 1 + 2 * comparison.rows.length);
  assert.equal(settings!.length, 1 + 16);
});

test('drawings cut no label short and sign no zero; what is significant says in which direction', () => {
  const page = parseMarkup(html);
  const labels = all(page, 'svg').flatMap((drawing) => all(drawing, 'text').map(textOf));
  assert.deepEqual(
    labels.filter((label) => /…|[+−-]0?\.00$/.test(label)),
    [],
  );
  const marked = all(page, 'td').filter((cell) => /best|worse/.test(cell.attributes.get('class') ?? ''));
  const differences = comparison.rows.flatMap(({ models }) => models[1]!.against ?? []);
  const significant = differences.filter(({ test }) => test.pValue < 0.05);
  assert.ok(significant.length > 0);
  assert.deepEqual(
    marked.map((cell) => cell.attributes.get('class')),
    significant.map(({ interval }) => (interval.mean < 0 ? 'worse' : 'best')),
  );
});

test('the CSV files hold every setting and quote what must be', () => {
  const lines = files['settings.csv']!.trimEnd().split('\r\n');
  assert.equal(lines.length, 1 + 2 * (16 + 4));
  assert.equal(
    lines[0],
    'model,query_language,passage_language,queries,AP,RR,R@1,R@10,R@100,nDCG@10,language_bias',
  );
  assert.ok(lines.some((line) => line.startsWith('tuned <i>,zh,all,30,')));
  assert.equal(files['language-shares.csv']!.trimEnd().split('\r\n').length, 1 + 2 * 16);
  const shares = comparison.models[0]!.result.pool[0]!.languageShares;
  assert.ok(Math.abs(Object.values(shares).reduce((sum, share) => sum + share, 0) - 1) < 1e-12);
  assert.ok(shares.de! > 0.5, 'a model that is biased finds its own language first');
});

test('one model alone has a report without differences', async () => {
  const { models, rows, ...facts } = comparison;
  const one = {
    ...facts,
    models: models.slice(0, 1),
    rows: rows.map((row) => ({ ...row, models: row.models.slice(0, 1) })),
  };
  const page = parseMarkup((await renderEvaluationReport(one))['report.html']!);
  assert.deepEqual(rowsOf(all(page, 'table')[0]!)[0], ['Measure', 'Model', 'Value', '95 % interval']);
});

test('of more languages than a drawing has room for the first are drawn, and the others counted', async () => {
  const languages = Array.from({ length: 100 }, (_, i) => `l${i}`);
  const pool = languages.map((queryLanguage) => ({
    ...{ queryLanguage, queries: 1, measures: {}, languageBias: 3 },
    languageShares: Object.fromEntries(languages.map((language) => [language, 0.01])),
  }));
  const { models, ...facts } = comparison;
  const [{ result, ...model }] = models as [(typeof models)[number]];
  const many = { ...result, languages, pool, grid: [] };
  const files = await renderEvaluationReport({ ...facts, rows: [], models: [{ ...model, result: many }] });
  assert.match(files['report.html']!, /0\.01 for 100 languages\. 60 further languages are in the CSV/);
  assert.ok(files['report.html']!.length < 500_000, `${files['report.html']!.length} characters`);
});

test('in a browser: no complaint, nothing fetched, fits desktop and phone, tables sort', {
  skip: !chromium && 'no chromium',
}, async () => {
  const path = join(folder, 'report.html');
  writeFileSync(path, html);
  const url = pathToFileURL(path).href;
  const browser = new Browser(chromium!);
  try {
    for (const [width, height, phone] of [
      [1280, 900, false],
      [390, 844, true],
    ] as const) {
      await browser.open(url, width, height, phone);
      assert.ok(
        (await browser.evaluate<number>('document.documentElement.scrollWidth')) <= width,
        `${width} px`,
      );
      const letters =
        '[...document.querySelectorAll("svg text")].map((text) => parseFloat(getComputedStyle(text).fontSize) * Math.hypot(text.getScreenCTM().a, text.getScreenCTM().b))';
      const sizes = await browser.evaluate<number[]>(letters);
      const [smallest, largest] = [Math.min(...sizes), Math.max(...sizes)];
      assert.ok(smallest >= 8 && largest <= 22, `letters of ${smallest} to ${largest} px`);
      const picture = await browser.screenshot();
      assert.equal(picture.subarray(1, 4).toString(), 'PNG');
      if (process.env.XLEMBED_SCREENSHOTS)
        writeFileSync(join(process.env.XLEMBED_SCREENSHOTS, `report-${width}.png`), picture);
      const column = 'document.querySelectorAll("table.sortable")[0].tHead.rows[0].cells[2]';
      const values =
        '[...document.querySelectorAll("table.sortable")[0].tBodies[0].rows].map((row) => Number(row.cells[2].dataset.value))';
      for (const [order, sign] of [
        ['descending', -1],
        ['ascending', 1],
      ] as const) {
        await browser.evaluate(`${column}.querySelector("button").click()`);
        const sorted = await browser.evaluate<number[]>(values);
        assert.deepEqual(
          sorted,
          [...sorted].sort((a, b) => sign * (a - b)),
          order,
        );
        assert.equal(await browser.evaluate(`${column}.getAttribute("aria-sort")`), order);
      }
    }
    assert.deepEqual(browser.complaints, []);
    assert.deepEqual([...new Set(browser.requests)], [url]);
  } finally {
    await browser.close();
  }
});
