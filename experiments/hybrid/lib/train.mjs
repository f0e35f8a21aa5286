import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Checkpoints, Encoder, readRecords, Trainer } from 'xlembed';
import { readJson, writeJson } from './files.mjs';
import { launch, trainCommand } from './launch.mjs';
import { regimeOptions } from './regimes.mjs';
import { trainingOptions } from './settings.mjs';
import { PRETRAINED } from './units.mjs';

/** Steps over which the last loss is a mean. */
const LAST = 20;

/**
 * Trains a unit's model and saves it; a model that is there is left. A killed training goes on at its last checkpoint.
 * Gives what it took, kept beside the model.
 */
export async function trainUnit(unit, { settings, place, records, onStep }) {
  const folder = place.model(unit);
  if (existsSync(folder)) return existsSync(`${folder}.json`) ? readJson(`${folder}.json`) : null;
  if (settings.launcher.length > 0) return launchUnit(unit, { settings, place });
  const { options, pairs, maxTokens } = await unitOptions(unit, { settings, place, records });
  const encoder = await startingEncoder(unit, { settings, place, maxTokens });
  const trainer = await Trainer.create(encoder, pairs, options);
  const checkpoints = await Checkpoints.open(`${folder}.checkpoints`, { keep: 1 });
  if (checkpoints.latest) await trainer.resume(checkpoints.latest);
  const taken = await runTrainer(trainer, { to: checkpoints, every: settings.checkpointEvery }, onStep);
  const facts = { ...taken, options: trainer.options, parameters: countParameters(encoder.model.backbone) };
  await writeJson(`${folder}.json`, facts);
  await encoder.save(folder);
  trainer.dispose();
  await encoder.dispose();
  await rm(`${folder}.checkpoints`, { recursive: true, force: true });
  return facts;
}

/** The same by `xlembed train`, under a launcher, from a published model; that resumes by itself. */
async function launchUnit({ encoder, regime, seed, name }, { settings, place }) {
  const { options, maxTokens } = trainingOptions(settings, encoder, 'training');
  const own = regimeOptions(regime, settings.data ?? place.data);
  const output = place.model({ name });
  await launch(
    trainCommand(settings.launcher, {
      ...{ model: settings.encoders[encoder].model, data: own.pairs, output, maxTokens },
      ...{ device: settings.device, checkpointEvery: settings.checkpointEvery, more: settings.trainFlags },
      options: { ...options, ...own.options, seed },
    }),
  );
  const {
    steps,
    seconds,
    pairs,
    tokens,
    lastLoss,
    skipped,
    settings: used,
  } = await readJson(join(output, 'training.json'));
  return { steps, fromStep: 0, seconds, pairs, tokens, lastLoss, skipped, options: used };
}

async function runTrainer(trainer, checkpoints, onStep) {
  const begun = { cpu: process.cpuUsage(), wall: performance.now(), step: trainer.steps };
  const sums = { pairs: 0, tokens: 0, words: 0, switched: 0, skipped: 0 };
  const losses = [];
  for await (const { step, loss, pairs, tokens, switched, skipped } of trainer.run({ checkpoints })) {
    sums.pairs += pairs;
    sums.tokens += tokens;
    sums.skipped += skipped ? 1 : 0;
    for (const side of Object.values(switched ?? {})) {
      sums.words += side.words;
      sums.switched += side.switched;
    }
    losses.push(loss);
    onStep(step, trainer.options.steps);
  }
  const { user, system } = process.cpuUsage(begun.cpu);
  const last = losses.slice(-LAST);
  return {
    steps: trainer.steps,
    // What follows counts from here on: not 0 where the training was killed and went on.
    fromStep: begun.step,
    seconds: (performance.now() - begun.wall) / 1000,
    processorSeconds: (user + system) / 1e6,
    lastLoss: last.reduce((sum, loss) => sum + loss, 0) / last.length,
    textCounts: trainer.textCounts,
    ...sums,
  };
}

/** Trainer's options, records and longest text of a unit. `records` reads a JSONL file once. */
async function unitOptions({ encoder, regime, seed }, { settings, place, records }) {
  const stage = regime === PRETRAINED ? 'pretraining' : 'training';
  const { options, maxTokens, mix } = trainingOptions(settings, encoder, stage);
  if (stage === 'pretraining') {
    const parts = await Promise.all(
      Object.keys(mix).map((name) => records(join(place.data, 'translations', `${name}.jsonl`))),
    );
    const datasets = Object.entries(mix).map(([name, weight], i) => ({
      name,
      records: parts[i].length,
      weight,
    }));
    return {
      options: { ...options, sampler: 'cross_lingual', seed, datasets },
      pairs: parts.flat(),
      maxTokens,
    };
  }
  const own = regimeOptions(regime, settings.data ?? place.data);
  return { options: { ...options, ...own.options, seed }, pairs: await records(own.pairs), maxTokens };
}

/** Fresh for the pre-training; what that has left, or a published model, for the regimes. */
async function startingEncoder(unit, { settings, place, maxTokens }) {
  const { kind, model } = settings.encoders[unit.encoder];
  const options = { device: settings.device, maxTokens };
  if (unit.regime !== PRETRAINED)
    return Encoder.load(kind === 'model' ? model : place.pretrained(unit), options);
  const folder = join(place.start, unit.encoder);
  if (kind === 'laser2') return Encoder.load(join(folder, `seed-${unit.seed}`), options);
  const fresh = { configPath: join(folder, 'config.json'), tokenizerPath: join(folder, 'tokenizer.json') };
  return Encoder.fresh(fresh, unit.seed, options);
}

/** Of the embedding table, and of all that comes after it. */
function countParameters(backbone) {
  const { vocabularySize, layers } = backbone;
  if (backbone.type === 'lstm') {
    const { embeddingSize, hiddenSize } = backbone;
    const layer = (input) => 2 * 4 * hiddenSize * (input + hiddenSize + 2);
    const above = (layers - 1) * layer(2 * hiddenSize);
    return { embeddings: vocabularySize * embeddingSize, encoder: layer(embeddingSize) + above };
  }
  const { hiddenSize: h, intermediateSize: f } = backbone;
  return { embeddings: vocabularySize * h, encoder: layers * (4 * h * h + 2 * h * f + 9 * h + f) };
}

/** Reads each file of records once. */
export function recordReader() {
  const read = new Map();
  return (path) => {
    if (!read.has(path))
      read.set(
        path,
        readRecords(path).then(({ records }) => records),
      );
    return read.get(path);
  };
}
