import assert from 'node:assert/strict';
import { test } from 'node:test';
import { smoothCurve } from '#xlembed/report/charts/curves.js';
import { heatmapAxis, heatmapMaximum } from '#xlembed/report/charts/heatmap.js';
import { renderIntervals } from '#xlembed/report/charts/intervals.js';
import { dashes, regimeColors } from '#xlembed/report/charts/palette.js';
import {
  clip,
  duration,
  languageName,
  list,
  secondsText,
  signedScore,
  threeDigits,
  words,
} from '#xlembed/report/format.js';
import { html } from '#xlembed/report/html.js';
import { renderTable } from '#xlembed/report/table.js';
import { sampleResults } from './sample.js';

test('templates escape text, and keep markup made by templates', () => {
  const inner = html`<b title="${`"'<&>`}">${'a < b'}</b>`;
  assert.equal(html`<p>${inner}${[inner]}${3}</p>`.markup.split(inner.markup).length, 3);
  assert.equal(inner.markup, '<b title="&quot;&#39;&lt;&amp;&gt;">a &lt; b</b>');
  assert.equal(html`${'\u0007 \ud800 \ufffe tab\t'}`.markup, '\ufffd \ufffd \ufffd tab\t');
});

test('the text table is aligned Markdown, with chance, and the best between asterisks', () => {
  const { regimes, chance } = sampleResults();
  const [cldr, udhr] = renderTable(regimes, chance)
    .split('\n\n')
    .map((table) => table.trimEnd().split('\n'));
  assert.equal(cldr!.length, 2 + 7);
  assert.equal(new Set(cldr!.map((line) => line.length)).size, 1);
  assert.ok(cldr![0]!.length <= 100);
  assert.match(cldr![0]!, /^\| CLDR +\| +untrained \| monolingual \| cross_lingual \| +hybrid \| chance \|$/);
  assert.match(cldr![1]!, /^\| -+ \|( -+: \|){5}$/);
  assert.match(
    cldr![2]!,
    /^\| Monolingual mAP +\| +0\.172 \| +0\.792 \| +0\.755 \| \*0\.798\* \| +0\.031 \|$/,
  );
  assert.match(cldr![8]!, /^\| Language bias \(ranks\) +\| +1512 \| +410 \| +295 \| +\*287\* \| +1834 \|$/);
  assert.match(udhr![0]!, /^\| UDHR/);
  assert.doesNotMatch(renderTable(regimes), /chance/);
});

test('a name cannot break out of its cell of the text table', () => {
  const { regimes } = sampleResults();
  regimes[0]!.name = 'a|b\nc';
  assert.match(renderTable(regimes), /\| a\\\|b c \|/);
});

test('smoothing keeps a constant, starts at the first value and skips what is no number', () => {
  const points = (values: number[]) => values.map((loss, i) => ({ step: i + 1, loss, accuracy: 0 }));
  const smooth = (values: number[]) => smoothCurve(points(values), (point) => point.loss);
  for (const { smooth: value } of smooth(Array(500).fill(2.5))) assert.ok(Math.abs(value - 2.5) < 1e-12);
  const noisy = smooth(Array.from({ length: 400 }, (_, i) => (i % 2 === 0 ? 1 : 3)));
  assert.equal(noisy[0]!.smooth, 1);
  assert.ok(Math.abs(noisy.at(-1)!.smooth - 2) < 0.11);
  assert.deepEqual(
    smooth([1, Number.NaN, 1, Number.POSITIVE_INFINITY]).map((point) => point.step),
    [1, 3],
  );
});

test('heatmaps share a scale and an order: trained, then zero-shot, then unnamed languages', () => {
  const cell = (queryLanguage: string, map: number) => ({
    queryLanguage,
    passageLanguage: 'en',
    queries: 1,
    measures: { map },
  });
  const grid = [cell('vi', 0.2), cell('de', 0.61), cell('xx', 0.1), cell('el', Number.NaN)];
  const languages = { trained: ['en', 'de', 'fr'], zeroShot: ['el', 'vi'] };
  assert.deepEqual(heatmapAxis(grid, languages, 10), {
    trained: ['en', 'de'],
    zeroShot: ['el', 'vi', 'xx'],
    hidden: 0,
  });
  assert.deepEqual(heatmapAxis(grid, languages, 3), { trained: ['en', 'de'], zeroShot: ['el'], hidden: 2 });
  assert.equal(heatmapMaximum([grid, [cell('en', 0.3)]]), 0.7);
  assert.equal(heatmapMaximum([]), 0.1);
});

test('bars of negative values stay within their drawing', async () => {
  const bar = { row: 'Spearman', model: 'a', low: undefined, high: undefined };
  const bars = [
    { ...bar, value: -0.2 },
    { ...bar, row: 'Pearson', value: 0.1, low: -0.3, high: 0.4 },
  ];
  const { markup } = await renderIntervals(bars, new Map([['a', '#12996a']]), (value) => value.toFixed(1));
  const starts = [...markup.matchAll(/d="M(-?[\d.]+),[^"]*" fill="#12996a"/g)].map(([, x]) => Number(x));
  assert.equal(starts.length, 2);
  for (const start of starts) assert.ok(start > 0, `a bar begins at ${start}`);
});

test('seven models have colours of their own, and twenty lines differ in colour or pattern', () => {
  const names = Array.from({ length: 20 }, (_, i) => `line ${i}`);
  const colors = regimeColors(names);
  assert.equal(new Set(colors.slice(0, 7)).size, 7);
  assert.equal(new Set(dashes(names).map((dash, i) => `${colors[i]} ${dash}`)).size, 20);
});

test('numbers and names in words', () => {
  assert.deepEqual([0.04, 9.96, 59, 119.6, 3600, 8125].map(duration), [
    '0.0 s',
    '10.0 s',
    '59 s',
    '120 s',
    '60 min',
    '2 h 15 min',
  ]);
  assert.equal(duration(Number.NaN), '–');
  assert.deepEqual([0.0126, -0.0126, 0.0004, -0.0004].map(signedScore), [
    '+0.013',
    '−0.013',
    '0.000',
    '0.000',
  ]);
  assert.deepEqual([0.01234, 1.234, 999.7, 4022, 691_234].map(threeDigits), [
    ...['0.0123', '1.23', '1,000', '4,020', '691,000'],
  ]);
  assert.deepEqual([1.2e-8, 4.56e-6, 9.996e-4, 0.0123, 0.9999, 12.34, 1234].map(secondsText), [
    ...['0.0120 µs', '4.56 µs', '1.00 ms', '12.3 ms', '1.00 s', '12.3 s', '1,230 s'],
  ]);
  assert.deepEqual(['cross_lingual', 'my_run'].map(words), ['Cross-lingual', 'My run']);
  assert.deepEqual([languageName('de'), languageName('not_a_tag')], ['German', 'not_a_tag']);
  assert.deepEqual([[], ['a'], ['a', 'b'], ['a', 'b', 'c']].map(list), ['', 'a', 'a and b', 'a, b and c']);
  assert.equal(clip('😀😀😀', 3), '😀😀😀');
  assert.equal(clip('😀😀 😀😀', 4), '😀😀…');
});
