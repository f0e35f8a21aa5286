#!/usr/bin/env node
// The whole experiment: data, models, every regime of every encoder with every seed, the report. What is done is not
// done again: after a kill at any moment the same command goes on.
//
//   XLEMBED_SHARED=<folder> node experiments/hybrid/run.mjs [--settings small] [--output runs/hybrid/<settings>]
import { fork, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { copyFile, mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { chanceLevels } from 'xlembed';
import { Estimate } from './lib/estimate.mjs';
import { taskOpener } from './lib/evaluate.mjs';
import { writeJson } from './lib/files.mjs';
import { readSettings } from './lib/settings.mjs';
import { isDone, listUnits, PRETRAINED, places } from './lib/units.mjs';

const { values } = parseArgs({
  options: {
    settings: { type: 'string', default: 'small' },
    output: { type: 'string' },
    units: { type: 'string' },
  },
});
const name = basename(values.settings, '.json');
const output = values.output ?? join('runs/hybrid', name);
const shared = process.env.XLEMBED_SHARED ?? '../shared';
const settings = await readSettings(values.settings);
const place = places(output);
await mkdir(place.results, { recursive: true });

/** Another program of this folder, to its end. */
function script(file, ...args) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [here(file), ...args], {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, XLEMBED_SHARED: shared },
    });
    child
      .on('error', reject)
      .on('exit', (code) => (code === 0 ? resolve() : reject(new Error(`${file} ended with ${code}`))));
  });
}

function here(file) {
  return fileURLToPath(new URL(file, import.meta.url));
}

if (settings.data === null && !existsSync(place.data)) {
  console.log('preparing data');
  await script('prepare.mjs', place.data);
}
if (Object.values(settings.encoders).some(({ kind }) => kind !== 'model')) {
  console.log('making vocabularies and fresh weights');
  await script('models.mjs', values.settings, settings.data ?? place.data, place.start);
}
await describe();
await runUnits();
console.log('report');
await script('report.mjs', '--results', place.results, '--output', join(output, 'report'));
console.log(`tables and figures in ${join(output, 'report')}`);
process.exit();

/** What the tables need besides the units: settings, texts by language, what a random ranking scores. */
async function describe() {
  await writeJson(join(place.results, 'settings.json'), settings);
  const counts = join(settings.data ?? place.data, 'counts.json');
  if (existsSync(counts)) await copyFile(counts, join(place.results, 'data.json'));
  const xquad = settings.evaluation['xquad-r'];
  if (!xquad || existsSync(join(place.results, 'chance.json'))) return;
  const task = await taskOpener({ shared, data: place.data })('xquad-r', xquad);
  await writeJson(join(place.results, 'chance.json'), chanceLevels(task));
}

async function runUnits() {
  const units = listUnits(settings).filter(
    ({ name }) => !values.units || new RegExp(values.units).test(name),
  );
  const estimate = new Estimate(units, place);
  const open = units.filter((unit) => !isDone(unit, place));
  console.log(`${units.length - open.length} of ${units.length} units are done`);
  if (open.length === 0) return;
  const count = Math.min(settings.parallel, open.length);
  await Promise.all(Array.from({ length: count }, () => worker(open, estimate)));
}

/** A process that takes the first open unit whose starting weights are there, until none is left. */
function worker(open, estimate) {
  const threads = settings.threads === null ? {} : { OMP_NUM_THREADS: String(settings.threads) };
  const argument = JSON.stringify({ settingsName: values.settings, output, shared });
  const child = fork(here('lib/worker.mjs'), [argument], { env: { ...process.env, ...threads } });
  return new Promise((resolve, reject) => {
    let waiting;
    const next = () => {
      clearTimeout(waiting);
      const at = open.findIndex(isReady);
      if (at >= 0) child.send(open.splice(at, 1)[0]);
      else if (open.length === 0) child.disconnect();
      else waiting = setTimeout(next, 1000);
    };
    child.on('message', ({ unit, stage, done, total, error }) => {
      if (stage === 'failed') reject(new Error(`${unit.name}: ${error}`));
      else if (stage === 'ready') next();
      else if (stage === 'done') {
        console.log(estimate.finished(unit));
        next();
      } else estimate.show(unit, stage, done, total);
    });
    child.on('error', reject);
    child.on('exit', (code) =>
      open.length === 0 || code === 0 ? resolve() : reject(new Error(`a worker ended with ${code}`)),
    );
  });
}

function isReady(unit) {
  if (unit.regime === PRETRAINED || settings.encoders[unit.encoder].kind === 'model') return true;
  return existsSync(place.pretrained(unit));
}
