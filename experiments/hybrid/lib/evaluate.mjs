import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { Encoder, evaluateTask, openTask, questionScores } from 'xlembed';
import { writeWhole } from './files.mjs';
import { CODES, TRAINED, ZERO_SHOT } from './languages.mjs';
import { PRETRAINED } from './units.mjs';

const GROUPS = { trained: TRAINED, zero_shot: ZERO_SHOT };
/** Setting and measure of the scores kept for every question. */
const KEPT = {
  'xquad-r': ['AP', 'recall'],
  mkqa: ['AP', 'recall'],
  flores: ['Accuracy'],
};
const DIGITS = 4;

/** Opens each task once; `shared` holds what is read as published. */
export function taskOpener({ shared, data }) {
  const opened = new Map();
  const folders = {
    'xquad-r': () => join(shared, 'data/xquad-r'),
    flores: () => join(data, 'evaluations/flores'),
    mkqa: () => join(data, 'evaluations/mkqa'),
  };
  return (name, settings) => {
    if (!opened.has(name)) opened.set(name, openTask(name, { data: settings.data ?? folders[name]() }));
    return opened.get(name);
  };
}

/** Measures a unit's model on every task; a killed evaluation goes on with the embeddings that are there. */
export async function evaluateUnit(unit, { settings, place, tasks, onProgress }) {
  const begun = { cpu: process.cpuUsage(), wall: performance.now() };
  const { kind, model } = settings.encoders[unit.encoder];
  const published = unit.regime === PRETRAINED && kind === 'model';
  const encoder = await Encoder.load(published ? model : place.model(unit), {
    device: settings.device,
    maxTokens: settings.evaluationTokens ?? undefined,
  });
  const [measured, questions] = [{}, {}];
  for (const [name, options] of Object.entries(settings.evaluation)) {
    onProgress(name);
    const task = await tasks(name, options);
    const result = await evaluateOne(encoder, task, options.languages, {
      folder: place.cache(unit),
      identity: unit.name,
    });
    questions[name] = keptScores(name, result);
    measured[name] = compact(result);
  }
  await encoder.dispose();
  await writeWhole(place.questions(unit), await promisify(gzip)(JSON.stringify(questions)));
  await rm(place.cache(unit), { recursive: true, force: true });
  const { user, system } = process.cpuUsage(begun.cpu);
  const seconds = (performance.now() - begun.wall) / 1000;
  return { seconds, processorSeconds: (user + system) / 1e6, tasks: measured };
}

function evaluateOne(encoder, task, languages, cache) {
  const wanted = languages?.map((language) => (task.name === 'flores' ? CODES.flores[language] : language));
  return evaluateTask(task, (texts, role) => encoder.encode(texts, { role }), {
    ...(wanted && { languages: wanted }),
    ...(task.kind === 'retrieval' && { groups: GROUPS }),
    similarity: encoder.model.similarity === 'dot' ? 'dot' : 'cosine',
    keepQueryScores: true,
    cache,
  });
}

/** Question -> its share in each macro-average, all languages together (docs/evaluation.md). */
function keptScores(name, result) {
  const scores = {};
  let ids = [];
  for (const setting of ['monolingual', 'cross_lingual', 'multilingual']) {
    for (const kind of KEPT[name] ?? []) {
      const measure = kind === 'recall' ? (setting === 'multilingual' ? 'R@10' : 'R@1') : kind;
      if (!hasScores(result, setting, measure)) continue;
      const found = questionScores(result, setting, measure);
      // Every setting has the same questions where it has all languages; the first one's order counts.
      if (ids.length === 0) ids = [...found.keys()];
      scores[`${setting} ${measure}`] = ids.map((id) => rounded(found.get(id) ?? 0));
    }
  }
  return { ids, scores };
}

function hasScores({ grid, pool }, setting, measure) {
  const cells =
    setting === 'multilingual'
      ? pool
      : grid.filter((cell) => (cell.queryLanguage === cell.passageLanguage) === (setting === 'monolingual'));
  return cells.length > 0 && cells.every(({ queryScores }) => queryScores?.scores[measure]);
}

/** The averages, and each cell's measures of the paper. */
function compact({ measures, groups, languages, counts, grid, pool }) {
  const shown = new Set(['AP', 'R@1', 'R@10', 'Accuracy', 'MarginAccuracy']);
  const few = (all) =>
    Object.fromEntries(
      Object.entries(all)
        .filter(([key]) => shown.has(key))
        .map(([key, value]) => [key, rounded(value)]),
    );
  const means = (all) =>
    Object.fromEntries(Object.entries(all).map(([key, value]) => [key, rounded(value, 6)]));
  return {
    languages,
    counts,
    measures: means(measures),
    groups: Object.fromEntries(Object.entries(groups).map(([name, { measures }]) => [name, means(measures)])),
    grid: grid.map(({ queryLanguage, passageLanguage, measures }) => ({
      queryLanguage,
      passageLanguage,
      ...few(measures),
    })),
    pool: pool.map(({ queryLanguage, languageBias, languageShares, measures }) => ({
      queryLanguage,
      languageBias: languageBias && rounded(languageBias),
      languageShares: means(languageShares),
      ...few(measures),
    })),
  };
}

function rounded(value, digits = DIGITS) {
  return Number(value.toPrecision(digits));
}
