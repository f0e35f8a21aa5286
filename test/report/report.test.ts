import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderReport, renderTrainingReport } from '#xlembed/report/report.js';
import type { ExperimentResults, RunFacts, TrainingResults } from '#xlembed/report/results.js';
import { all, everything, parseMarkup, rowsOf, textOf } from './markup.js';
import { sampleCurve, sampleEvaluation, sampleResults } from './sample.js';

const results = sampleResults();
const source = await renderReport(results);
const root = parseMarkup(source);

function trainingOf(facts: RunFacts, run: TrainingResults['run'], notes: string[]): TrainingResults {
  const { title, createdAt, command, settings, versions, times, languages } = facts;
  return { title, createdAt, command, settings, versions, times, languages, run, notes };
}

/** Nothing that loads, nothing that runs, nothing that collides. */
function assertSelfContained(document: string) {
  assert.doesNotMatch(document, /https?:|url\(|@import|javascript:/i);
  for (const { tag, attributes } of everything(parseMarkup(document))) {
    assert.ok(
      !['script', 'link', 'img', 'iframe', 'object', 'use', 'image', 'foreignObject', 'a', 'base'].includes(
        tag,
      ),
      tag,
    );
    for (const name of attributes.keys()) assert.doesNotMatch(name, /^(on|src|href|xlink|id$|action)/);
  }
}

test('one document that stands alone: no scripts, nothing loaded', () => {
  assertSelfContained(source);
  const policy = all(root, 'meta').find(
    (meta) => meta.attributes.get('http-equiv') === 'Content-Security-Policy',
  );
  assert.equal(policy?.attributes.get('content'), "default-src 'none'; style-src 'unsafe-inline'");
  assert.match(textOf(all(root, 'style')[0]!), /prefers-color-scheme: dark/);
  assert.ok(all(root, 'meta').some((meta) => meta.attributes.get('name') === 'viewport'));
});

test('title, headings and figures are there, and said in words', () => {
  assert.equal(textOf(all(root, 'title')[0]!), results.title);
  assert.equal(textOf(all(root, 'h1')[0]!), results.title);
  assert.deepEqual(all(root, 'h2').map(textOf), [
    'CLDR: names and keywords of symbols',
    'UDHR: articles of the Universal Declaration of Human Rights',
    'Training',
    'Example searches',
    'How it was made',
  ]);
  const drawings = all(root, 'svg');
  assert.equal(drawings.length, 2 * (4 + 1) + 2);
  for (const { attributes } of drawings) {
    assert.equal(attributes.get('role'), 'img');
    assert.ok(attributes.get('aria-label')!.length > 30);
  }
  assert.match(
    drawings[1]!.attributes.get('aria-label')!,
    /^Monolingual: mAP of 121 settings, from 0\.\d\d for .. queries/,
  );
  assert.ok(all(root, 'th').every((header) => ['row', 'col'].includes(header.attributes.get('scope')!)));
});

test('the table shows the measures given, chance beside them and the best marked', () => {
  const [head, ...rows] = rowsOf(all(root, 'table')[0]!);
  assert.deepEqual(head!.slice(0, 3), ['Regime', 'Monolingual mAP ↑', 'Cross-lingual mAP ↑']);
  assert.equal(head![7], 'Language bias (ranks) ↓');
  assert.deepEqual(
    rows.map((row) => row[0]),
    ['Untrained', 'Monolingual', 'Cross-lingual', 'Hybrid', 'Chance level'],
  );
  results.regimes.forEach((regime, r) => {
    const { language_bias: bias, ...scores } = regime.evaluations.cldr!.measures;
    const expected = [...Object.values(scores).map((value) => value.toFixed(3)), bias!.toFixed(0)];
    assert.deepEqual(
      rows[r]!.slice(1).map((cell) => cell.replace(' (best)', '')),
      expected,
    );
  });
  assert.deepEqual(rows[4]!.slice(1), ['0.031', '0.031', '0.030', '–', '–', '–', '1834']);
  const best = rows.map((row) => row.flatMap((cell, c) => (cell.endsWith('(best)') ? [c] : [])));
  assert.deepEqual(best, [[], [], [3], [1, 2, 4, 5, 6, 7], []]);
});

test('trained and zero-shot languages are told apart, by means over the grid', () => {
  const [head, , monolingual] = rowsOf(all(root, 'table')[1]!);
  assert.deepEqual(head!.slice(1), [
    'Monolingual, trained (9)',
    'Monolingual, zero-shot (2)',
    'Cross-lingual, both trained (72)',
    'Cross-lingual, zero-shot (38)',
  ]);
  const unseen = new Set(results.languages.zeroShot);
  const cells = results.regimes[1]!.evaluations.cldr!.grid.filter(
    (cell) => cell.queryLanguage === cell.passageLanguage && unseen.has(cell.queryLanguage),
  );
  const mean = (cells[0]!.measures.map! + cells[1]!.measures.map!) / 2;
  assert.equal(monolingual![2], mean.toFixed(3));
});

test('a heatmap prints its grid, zero-shot languages with an asterisk', () => {
  const texts = all(all(root, 'svg')[1]!, 'text').map(textOf);
  const expected = results.regimes[1]!.evaluations.cldr!.grid.map((cell) => cell.measures.map!.toFixed(2));
  assert.deepEqual(texts.filter((text) => /^\d\.\d\d$/.test(text)).sort(), expected.sort());
  assert.equal(texts.filter((text) => text === 'el*').length, 2);
  assert.equal(texts.filter((text) => text === 'en').length, 2);
});

test('training: steps, time and curves of the regimes that were trained', () => {
  const table = all(root, 'table')
    .map(rowsOf)
    .find((rows) => rows[0]![1] === 'Alpha')!;
  assert.deepEqual(
    table.map((row) => row[0]),
    ['Regime', 'Monolingual', 'Cross-lingual', 'Hybrid'],
  );
  assert.deepEqual(table[3]!.slice(0, 4), ['Hybrid', '0.5', '600', '7 min']);
  const last = results.regimes[3]!.lossCurve.slice(-20).reduce((sum, point) => sum + point.loss, 0) / 20;
  assert.equal(table[3]![4], last.toFixed(3));
  const curves = all(root, 'svg').filter((svg) =>
    /^Training (loss|accuracy)/.test(svg.attributes.get('aria-label')!),
  );
  assert.equal(curves.length, 2);
  assert.ok(all(curves[0]!, 'path').filter((path) => path.attributes.get('d')!.length > 1000).length === 6);
});

test('searches: every text in its own direction, the correct ones marked', () => {
  const cards = all(root, 'article');
  assert.equal(cards.length, 2);
  assert.deepEqual(all(cards[0]!, 'h4').map(textOf), ['Untrained', 'Monolingual', 'Hybrid']);
  const items = all(cards[1]!, 'li');
  assert.deepEqual(
    items.map((item) => item.attributes.get('class')),
    ['correct', 'correct', 'correct', 'other', 'correct'],
  );
  const arabic = all(items[1]!, 'div')[0]!;
  assert.deepEqual([arabic.attributes.get('dir'), arabic.attributes.get('lang')], ['auto', 'ar']);
  assert.equal(textOf(arabic), results.examples[3]!.results[1]!.text);
  assert.match(textOf(items[1]!), /ar 0\.791/);
});

test('settings, versions, times and command are those given', () => {
  const facts = new Map(
    all(root, 'table')
      .flatMap(rowsOf)
      .filter((row) => row.length === 2) as [string, string][],
  );
  assert.equal(facts.get('batchSize'), '100');
  assert.equal(facts.get('languageWeights'), '{"temperature":2}');
  assert.equal(facts.get('prompts'), '["Query: ","Passage: "]');
  assert.equal(facts.has('commit'), false, 'what was not set is not there');
  assert.equal(facts.get('libtorch'), '2.13.0');
  assert.deepEqual(
    [facts.get('reading data'), facts.get('training'), facts.get('all together')],
    ['2.3 s', '22 min', '2 h 15 min'],
  );
  assert.equal(textOf(all(root, 'code')[0]!), results.command);
});

test('the summary is made of the numbers', () => {
  const paragraphs = all(root, 'p')
    .filter((p) => p.attributes.get('class') === 'summary')
    .map(textOf);
  assert.deepEqual(paragraphs, [
    'On CLDR, cross-lingual has the best multilingual mAP: 0.678 (untrained 0.046, chance 0.030). ' +
      'Of 7 measures, hybrid is best in 6, cross-lingual in 1. ' +
      'Language bias is lowest with hybrid: 287 ranks (untrained 1512, chance 1834).',
    'On UDHR, hybrid has the best multilingual mAP: 0.572 (untrained 0.086, chance 0.030). ' +
      'The best in all 7 measures is hybrid. ' +
      'Language bias is lowest with hybrid: 38.8 ranks (untrained 96.0, chance 142).',
  ]);
});

test('the same results give the same bytes', async () => {
  assert.equal(await renderReport(sampleResults()), source);
});

const HOSTILE = `</title></svg><script>alert('1')</script><img src=x onerror="alert(2)"> & ]]> \u0000\u202e\ud800 {{x}}`;
const SHOWN = HOSTILE.replace('\u0000', '\ufffd').replace('\ud800', '\ufffd');

function hostileResults(): ExperimentResults {
  const evaluation = {
    ...sampleEvaluation(0.5, 0.1, 9, ['en', HOSTILE]),
    measures: { [HOSTILE]: 1, language_bias: 3 },
  };
  const evaluations = { [HOSTILE]: evaluation };
  const regime = {
    name: HOSTILE,
    sampler: HOSTILE,
    alpha: 0.5,
    steps: 3,
    lossCurve: sampleCurve(3, 1),
    trainSeconds: 1,
    evaluations,
  };
  const found = { text: HOSTILE, language: HOSTILE, score: 1, correct: true };
  return {
    ...{
      title: HOSTILE,
      createdAt: HOSTILE,
      command: HOSTILE,
      settings: { [HOSTILE]: HOSTILE, list: [HOSTILE] },
    },
    ...{
      versions: { [HOSTILE]: HOSTILE },
      times: { [HOSTILE]: 1 },
      chance: { [HOSTILE]: { language_bias: 1 } },
    },
    languages: { trained: ['en'], zeroShot: [HOSTILE] },
    regimes: [regime, { ...regime, name: 'other' }],
    examples: [{ query: HOSTILE, queryLanguage: HOSTILE, regime: HOSTILE, results: [found] }],
  };
}

test('hostile texts, names and languages stay texts', async () => {
  const hostile = hostileResults();
  for (const document of [
    await renderReport(hostile),
    await renderTrainingReport(trainingOf(hostile, hostile.regimes[0]!, [HOSTILE])),
  ]) {
    const parsed = parseMarkup(document);
    const tags = new Set(everything(parsed).map((element) => element.tag));
    assert.ok(!tags.has('script') && !tags.has('img'));
    for (const { attributes } of everything(parsed))
      for (const name of attributes.keys()) assert.doesNotMatch(name, /^on/);
    assert.equal(textOf(all(parsed, 'title')[0]!), SHOWN);
    assert.equal(textOf(all(parsed, 'code')[0]!), SHOWN);
    assert.ok(all(parsed, 'svg').length >= 2);
  }
  const texts = all(parseMarkup(await renderReport(hostile)), 'text').map(textOf);
  const cut = texts.filter(
    (text) => text.length > 12 && text.endsWith('…') && SHOWN.startsWith(text.slice(0, -1)),
  );
  assert.ok(cut.length >= 4, 'two axes of two heatmaps name the language, as far as there is room');
});

test('under 1 MB with 60 languages, two kinds of text, four regimes and long curves', async () => {
  const languages = Array.from({ length: 60 }, (_, i) => `l${i}`);
  const many = sampleResults();
  const evaluations = {
    cldr: sampleEvaluation(0.7, 0.1, 9, languages),
    udhr: sampleEvaluation(0.7, 0.1, 9, languages),
  };
  many.regimes = many.regimes.map((regime) => ({
    ...regime,
    evaluations,
    lossCurve: sampleCurve(20_000, 0.3),
  }));
  many.languages = { trained: languages.slice(0, 9), zeroShot: languages.slice(9) };
  const long = '長い文'.repeat(500);
  many.examples = Array.from({ length: 60 }, (_, i) => ({
    query: `${i} ${long}`,
    queryLanguage: 'ja',
    results: [{ text: long, language: 'ja', score: 0.5, correct: false }],
  }));
  const document = await renderReport(many);
  assert.ok(Buffer.byteLength(document) < 1_000_000, `${Buffer.byteLength(document)} bytes`);
  assert.match(document, / further languages are in the results, but not drawn/);
  assert.match(document, /20 further queries are in the results, but not shown/);
  assertSelfContained(document);
});

test('what was not measured is left out or shown as a dash, never as a number', async () => {
  const part = sampleResults();
  part.examples = [];
  part.chance = {};
  part.regimes = part.regimes.slice(0, 2);
  part.regimes[0]!.evaluations = { cldr: { measures: { monolingual_map: Number.NaN }, grid: [] } };
  part.regimes[1]!.evaluations = { cldr: { measures: { monolingual_map: 0.5 }, grid: [] } };
  part.regimes[1]!.lossCurve[5]!.loss = Number.NaN;
  const parsed = parseMarkup(await renderReport(part));
  assert.deepEqual(rowsOf(all(parsed, 'table')[0]!).slice(1), [
    ['Untrained', '–'],
    ['Monolingual', '0.500'],
  ]);
  assert.deepEqual(all(parsed, 'h2').map(textOf), [
    'CLDR: names and keywords of symbols',
    'Training',
    'How it was made',
  ]);
  assert.match(textOf(parsed), /Steps without a finite loss, left out: 1\./);
  assert.doesNotMatch(textOf(parsed), /NaN|undefined|Infinity/);
  const empty = { ...part, regimes: [] };
  assert.match(textOf(parseMarkup(await renderReport(empty))), /Nothing was compared/);
});

test('a training run has a report of its own', async () => {
  const notes = ['12 passages were truncated to 128 tokens.'];
  const document = await renderTrainingReport(trainingOf(results, results.regimes[3]!, notes));
  assertSelfContained(document);
  const parsed = parseMarkup(document);
  assert.deepEqual(all(parsed, 'h2').map(textOf), ['Training', 'Notes', 'How it was made']);
  assert.ok(
    all(parsed, 'li')
      .map(textOf)
      .some((item) => item.trim() === notes[0]),
  );
  const { lossCurve } = results.regimes[3]!;
  const last = lossCurve.slice(-20).reduce((sum, point) => sum + point.loss, 0) / 20;
  const summary = `Hybrid: 600 steps with hybrid batches; loss from ${lossCurve[0]!.loss.toFixed(3)} to ${last.toFixed(3)}.`;
  assert.ok(textOf(parsed).includes(summary));
});

test('the measures of a training run are named in full above their lines', async () => {
  const measures = { accuracy: 0.5, monolingual_map: 0.6, cross_lingual_map: 0.5, multilingual_map: 0.4 };
  const run = { ...results.regimes[3]!, validations: [1, 2].map((step) => ({ step, measures })) };
  const parsed = parseMarkup(await renderTrainingReport(trainingOf(results, run, [])));
  const labels = all(parsed, 'text').map(textOf);
  for (const name of ['Accuracy', 'Monolingual map', 'Cross-lingual map', 'Multilingual map'])
    assert.ok(labels.includes(name), name);
});
