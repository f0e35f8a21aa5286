// One unit after the other, as the driver sends them: train, evaluate, write the result.
import { rm } from 'node:fs/promises';
import { evaluateUnit, taskOpener } from './evaluate.mjs';
import { writeWhole } from './files.mjs';
import { machine, versions } from './machine.mjs';
import { readSettings } from './settings.mjs';
import { recordReader, trainUnit } from './train.mjs';
import { places } from './units.mjs';

const { settingsName, output, shared } = JSON.parse(process.argv[2]);
const settings = await readSettings(settingsName);
const place = places(output);
const records = recordReader();
const tasks = taskOpener({ shared, data: place.data });

async function run(unit) {
  const report = (stage, done, total) => process.send({ unit, stage, done, total });
  const begun = process.cpuUsage();
  const training = isPublished(unit)
    ? null
    : await trainUnit(unit, {
        settings,
        place,
        records,
        onStep: (done, total) => report('training', done, total),
      });
  const evaluation = await evaluateUnit(unit, {
    settings,
    place,
    tasks,
    onProgress: (name) => report(`evaluating ${name}`),
  });
  const { user, system } = process.cpuUsage(begun);
  await writeWhole(
    place.result(unit),
    JSON.stringify({
      ...unit,
      training,
      evaluation,
      processorSeconds: (user + system) / 1e6,
      machine: machine(),
      versions: versions(),
      finishedAt: new Date().toISOString(),
    }),
  );
  if (!isPublished(unit) && !settings.keepModels.includes(unit.seed) && unit.regime !== 'pretrained')
    await rm(place.model(unit), { recursive: true });
}

function isPublished({ encoder, regime }) {
  return regime === 'pretrained' && settings.encoders[encoder].kind === 'model';
}

process.on('disconnect', () => process.exit(1));
process.on('message', async (unit) => {
  try {
    await run(unit);
    process.send({ unit, stage: 'done' });
  } catch (error) {
    process.send({ unit, stage: 'failed', error: error.stack });
  }
});
process.send({ stage: 'ready' });
