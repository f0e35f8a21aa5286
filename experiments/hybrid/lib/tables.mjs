import { CODES, LANGUAGES } from './languages.mjs';
import { FINDINGS, PAPER, PAPER_MEASURES } from './paper.mjs';
import { byRegime, deviation, encodersOf, mean, ORDER } from './results.mjs';
import { compareRegimes, holm } from './significance.mjs';

const NAMES = {
  transformer: 'transformer',
  laser2: 'LASER-2 architecture',
  hybrid_25: 'hybrid, α 0.25',
  hybrid_50: 'hybrid, α 0.5',
  hybrid_75: 'hybrid, α 0.75',
  code_switching: 'hybrid, α 0.5 + code switching',
  cross_lingual: 'cross-lingual',
  shuffled: 'plain: shuffled pairs',
  pretrained: 'pre-trained only',
};
export const nameOf = (key) => NAMES[key] ?? key.replaceAll('_', '-');

/** In no text of this experiment's training. */
const UNSEEN = Object.values(CODES.flores).filter(
  (code) => !LANGUAGES.some((language) => CODES.flores[language] === code),
);

/** Column -> what a result gives for it. */
const XQUAD = {
  'mono mAP': (r) => r['xquad-r']?.measures.monolingual_map,
  'cross mAP': (r) => r['xquad-r']?.measures.cross_lingual_map,
  'multi mAP': (r) => r['xquad-r']?.measures.multilingual_map,
  'mono R@1': (r) => r['xquad-r']?.measures.monolingual_recall_at_1,
  'cross R@1': (r) => r['xquad-r']?.measures.cross_lingual_recall_at_1,
  'multi R@10': (r) => r['xquad-r']?.measures.multilingual_recall_at_10,
  'language bias': (r) => r['xquad-r']?.measures.language_bias,
};
const TRANSFER = {
  'el, vi mono mAP': (r) => r['xquad-r']?.groups.zero_shot?.monolingual_map,
  'cross mAP with el or vi': (r) => r['xquad-r']?.groups.zero_shot?.cross_lingual_touching_map,
  'cross mAP of the nine': (r) => r['xquad-r']?.groups.trained?.cross_lingual_map,
  'FLORES el, vi': (r) => flores(r, ['ell_Grek', 'vie_Latn']),
  'FLORES never seen': (r) => flores(r, UNSEEN),
  'MKQA mono mAP': (r) => r.mkqa?.measures.monolingual_map,
  'MKQA cross mAP': (r) => r.mkqa?.measures.cross_lingual_map,
};

/** Mean accuracy of both directions between English and the languages. */
function flores(tasks, languages) {
  const cells = tasks.flores?.grid.filter(
    ({ queryLanguage, passageLanguage }) =>
      languages.includes(queryLanguage) || languages.includes(passageLanguage),
  );
  return cells?.length ? mean(cells.map(({ Accuracy }) => Accuracy)) : undefined;
}

export function table(rows) {
  const widths = rows[0].map((_, c) => Math.max(3, ...rows.map((row) => row[c].length)));
  const draw = (row) =>
    `| ${row.map((cell, c) => (c === 0 ? cell.padEnd(widths[c]) : cell.padStart(widths[c]))).join(' | ')} |`;
  const rule = `| ${widths.map((width, c) => (c === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`;
  return [draw(rows[0]), rule, ...rows.slice(1).map(draw)].join('\n');
}

const number = (value) =>
  value === undefined ? '–' : value >= 20 ? value.toFixed(0) : value.toFixed(value >= 0.1 ? 3 : 4);

/** Mean over seeds, and the deviation between them where there are several. */
function cell(list, read) {
  const values = list.map(({ evaluation }) => read(evaluation.tasks)).filter((value) => value !== undefined);
  if (values.length === 0) return '–';
  const spread = deviation(values);
  return spread === undefined ? number(mean(values)) : `${number(mean(values))} ± ${number(spread)}`;
}

function measureTable(results, columns, chance) {
  return encodersOf(results)
    .map((encoder) => {
      const regimes = byRegime(results, encoder);
      const rows = [...regimes].map(([regime, list]) => [
        `${nameOf(regime)} (${list.length})`,
        ...Object.values(columns).map((read) => cell(list, read)),
      ]);
      const level = chance ? [['chance', ...Object.keys(columns).map((name) => number(chance[name]))]] : [];
      return `**${nameOf(encoder)}** (in brackets: seeds)\n\n${table([['', ...Object.keys(columns)], ...rows, ...level])}`;
    })
    .join('\n\n');
}

/** Random rankings, from the number of answers and candidates: what measures of XQuAD-R start from. */
export function xquadTable(results, chance) {
  return measureTable(
    results,
    XQUAD,
    chance && {
      'mono mAP': chance.monolingual_map,
      'cross mAP': chance.cross_lingual_map,
      'multi mAP': chance.multilingual_map,
      'mono R@1': chance.monolingual_recall_at_1,
      'cross R@1': chance.cross_lingual_recall_at_1,
      'multi R@10': chance.multilingual_recall_at_10,
      'language bias': chance.language_bias,
    },
  );
}

export const transferTable = (results) => measureTable(results, TRANSFER);

const SETTINGS = ['monolingual AP', 'cross_lingual AP', 'multilingual AP'];

/** Hybrid against each other regime; p corrected over the whole table. */
export function significanceTable(results) {
  const found = encodersOf(results).flatMap((encoder) => {
    const regimes = byRegime(results, encoder);
    const hybrid = regimes.get('hybrid_50') ?? [];
    const others = ORDER.filter((regime) => regime !== 'hybrid_50' && regimes.has(regime));
    return others.flatMap((regime) =>
      SETTINGS.flatMap((key) => {
        const compared = compareRegimes(hybrid, regimes.get(regime), 'xquad-r', key);
        return compared ? [{ encoder, regime, key, ...compared }] : [];
      }),
    );
  });
  if (found.length === 0) return 'Nothing to compare yet.';
  const corrected = holm(found.map(({ pValue }) => pValue));
  const signed = (value) => `${value >= 0 ? '+' : '−'}${Math.abs(value).toFixed(4)}`;
  const rows = found.map(({ encoder, regime, key, difference, interval, seeds, sameSign }, i) => [
    `${nameOf(encoder)}: hybrid − ${nameOf(regime)}`,
    key.replace(' AP', '').replace('_', '-'),
    signed(difference),
    `${signed(interval.low)} .. ${signed(interval.high)}`,
    corrected[i] < 0.001 ? '< 0.001' : corrected[i].toFixed(3),
    String(seeds),
    sameSign ? 'yes' : 'no',
  ]);
  return table([
    ['XQuAD-R mAP', 'setting', 'difference', '95 % interval', 'p (Holm)', 'seeds', 'all seeds agree'],
    ...rows,
  ]);
}

/** The paper's findings, and whether they are seen here. */
export function findingsTable(results) {
  const encoders = encodersOf(results);
  const better = ({ measure, better: a, worse: b }, value) => {
    const [x, y] = [value(a)?.[measure], value(b)?.[measure]];
    if (x === undefined || y === undefined) return undefined;
    return measure === 3 ? y - x : x - y;
  };
  const here = (encoder) => (regime) => {
    const list = byRegime(results, encoder).get(regime);
    return (
      list &&
      PAPER_MEASURES.map((name) =>
        mean(list.map(({ evaluation }) => evaluation.tasks['xquad-r'].measures[name])),
      )
    );
  };
  const shown = (finding, value) => {
    const gain = better(finding, value);
    if (gain === undefined) return '–';
    const digits = finding.measure === 3 ? 0 : Math.abs(gain) < 0.01 ? 4 : 3;
    return `${gain >= 0 ? 'yes' : 'no'} (${gain >= 0 ? '+' : '−'}${Math.abs(gain).toFixed(digits)})`;
  };
  const rows = FINDINGS.map((finding) => [
    finding.says,
    ...Object.values(PAPER).map((numbers) => shown(finding, (regime) => numbers[regime])),
    ...encoders.map((encoder) => shown(finding, here(encoder))),
  ]);
  return table([
    [
      'of the paper',
      ...Object.keys(PAPER).map((name) => `${name}, paper`),
      ...encoders.map((name) => `${nameOf(name)}, here`),
    ],
    ...rows,
  ]);
}

export function paperTable() {
  const rows = Object.entries(PAPER).flatMap(([encoder, regimes]) =>
    Object.entries(regimes).map(([regime, [mono, cross, multi, bias]]) => [
      `${encoder}, ${nameOf(regime)}`,
      mono.toFixed(3),
      cross.toFixed(3),
      multi.toFixed(3),
      String(bias),
    ]),
  );
  return table([['the paper', 'mono mAP', 'cross mAP', 'multi mAP', 'language bias'], ...rows]);
}

/** Of the training; a launcher's processes are not counted. */
function processor(list) {
  const seconds = list.map(({ training }) => training.processorSeconds);
  return seconds.includes(undefined) ? '–' : mean(seconds).toFixed(0);
}

/** Processor seconds, and wall time of what may have been a busy machine. */
export function costsTable(results) {
  const rows = encodersOf(results).flatMap((encoder) =>
    [
      ['pre-training', (r) => r.regime === 'pretrained'],
      ['fine-tuning, one regime', (r) => r.regime !== 'pretrained'],
    ].flatMap(([name, is]) => {
      const list = results.filter(
        (result) =>
          result.encoder === encoder && is(result) && result.training && result.training.fromStep === 0,
      );
      if (list.length === 0) return [];
      const of = (read) => mean(list.map(read));
      const { parameters, steps, options } = list[0].training;
      return [
        [
          `${nameOf(encoder)}, ${name}`,
          parameters
            ? `${(parameters.encoder / 1e6).toFixed(2)} + ${(parameters.embeddings / 1e6).toFixed(2)}`
            : '–',
          String(steps),
          String(options.batchSize),
          of(({ training }) => training.tokens).toFixed(0),
          processor(list),
          of(({ training }) => training.seconds).toFixed(0),
          of(({ evaluation }) => evaluation.processorSeconds).toFixed(0),
          of(({ training }) => training.lastLoss).toFixed(3),
        ],
      ];
    }),
  );
  const total = results.reduce((sum, { processorSeconds }) => sum + processorSeconds, 0);
  const head = [
    '',
    'M parameters (encoder + embeddings)',
    'steps',
    'pairs a step',
    'tokens',
    'training, processor s',
    'training, wall s',
    'evaluation, processor s',
    'last loss',
  ];
  const machines = [
    ...new Set(results.map(({ machine: { processor, threads } }) => `${processor}, ${threads} threads`)),
  ];
  const units = `${results.length} units took ${(total / 60).toFixed(0)} processor minutes in all; seeds ${[...new Set(results.map(({ seed }) => seed))].sort().join(', ')}`;
  return `${table([head, ...rows])}\n\n${units} (${machines.join('; ')}).`;
}

/** Texts by source and language. */
export function dataTable({ languages }, all) {
  const rows = Object.entries(languages).map(([name, counts]) => [
    name,
    ...all.map((language) => String(counts[language] ?? '–')),
  ]);
  return table([['records with', ...all], ...rows]);
}

export function leakageTable({ leakage }) {
  const rows = Object.entries(leakage).map(([name, { identical, near_identical, overlapping }]) => [
    name,
    String(identical),
    String(near_identical),
    String(overlapping),
  ]);
  return table([['records dropped', 'identical', 'near-identical', 'overlapping'], ...rows]);
}
