#!/usr/bin/env node
// What bfloat16 and int8 cost a model in quality: cosine of each embedding to float32's, and the change of XQuAD-R's mAP.
// usage: node bench/precision.mjs <model> <xquad-r folder> [language,...]   prints one JSON object
import { cpus } from 'node:os';
import { Encoder, evaluateTask, openTask } from '../dist/index.js';

const [model, data, languages] = process.argv.slice(2);
const task = await openTask('xquad-r', { data });
const options = languages ? { languages: languages.split(',') } : {};

/** Measures, and all embeddings in the order in which they were asked for. */
async function evaluate(dtype) {
  const encoder = await Encoder.load(model, { dtype });
  const embeddings = [];
  const encode = async (texts, role) => {
    const result = await encoder.encode(texts, { role });
    embeddings.push(result);
    return result;
  };
  const { measures } = await evaluateTask(task, encode, options);
  await encoder.dispose();
  return { measures, embeddings };
}

/** 1 - cosine of every row: the mean, and the largest. */
function distances(some, others) {
  let [sum, rows, worst] = [0, 0, 0];
  some.forEach(({ data, dimensions, rows: count }, part) => {
    for (let row = 0; row < count; ++row) {
      let [product, square, otherSquare] = [0, 0, 0];
      for (let d = row * dimensions; d < (row + 1) * dimensions; ++d) {
        const [a, b] = [data[d], others[part].data[d]];
        product += a * b;
        square += a * a;
        otherSquare += b * b;
      }
      const distance = 1 - product / Math.sqrt(square * otherSquare);
      sum += distance;
      worst = Math.max(worst, distance);
      rows += 1;
    }
  });
  return { texts: rows, mean: sum / rows, worst };
}

const reference = await evaluate('float32');
const result = { model, processor: cpus()[0]?.model.trim(), float32: reference.measures };
for (const dtype of ['bfloat16', 'int8']) {
  const { measures, embeddings } = await evaluate(dtype);
  const changes = Object.entries(measures)
    .filter(([name]) => name.endsWith('map'))
    .map(([name, value]) => [name, value - reference.measures[name]]);
  result[dtype] = {
    oneMinusCosine: distances(embeddings, reference.embeddings),
    change: Object.fromEntries(changes),
  };
}
console.log(JSON.stringify(result, null, 2));
