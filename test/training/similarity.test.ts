import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Encoder } from '#xlembed/encoding/encoder.js';
import { batchTexts } from '#xlembed/training/prepare.js';
import type { StepEvent } from '#xlembed/training/step_event.js';
import { Trainer } from '#xlembed/training/trainer.js';
import { device } from '../device.js';
import { folderOf } from '../encoding/goldens.js';
import { MODEL, RECORDS } from './small_run.js';

test("an early layer's mean is compared by cosine too: the last layer's gives the loss of the model's own head", async () => {
  const losses = [];
  for (const embeddingLayer of [undefined, 2]) {
    const encoder = await Encoder.fresh(MODEL, 1);
    const given = {
      batchSize: 6,
      steps: 1,
      seed: 5,
      ...(embeddingLayer !== undefined && { embeddingLayer }),
    };
    const trainer = await Trainer.create(encoder, RECORDS, given);
    for await (const { loss } of trainer.run()) losses.push(loss);
    trainer.dispose();
    await encoder.dispose();
  }
  assert.equal(losses.length, 2);
  assert.ok(Math.abs(losses[0]! - losses[1]!) < 1e-4, losses.join(' '));
});

test('training compares by cosine, or by inner product where the model says so, whatever its head does', async () => {
  const lossOf = async (
    similarity: 'cosine' | 'dot' | 'euclidean' | 'manhattan',
    normalize: boolean,
    more = {},
  ) => {
    const encoder = await Encoder.fresh({ ...MODEL, similarity, normalize }, 1);
    const trainer = await Trainer.create(encoder, RECORDS, { batchSize: 6, steps: 1, seed: 5, ...more });
    const { value } = await trainer.run().next();
    trainer.dispose();
    await encoder.dispose();
    return (value as StepEvent).loss;
  };
  const byCosine = await lossOf('dot', true);
  for (const normalize of [true, false]) {
    const own = await lossOf('cosine', normalize);
    assert.ok(Math.abs(own - byCosine) < 1e-4 * byCosine);
    for (const distance of ['euclidean', 'manhattan'] as const)
      assert.equal(await lossOf(distance, normalize), own);
  }
  assert.ok(Math.abs((await lossOf('dot', false)) - byCosine) > 0.1 * byCosine);
  const pastTheHead = { embeddingLayer: 2, dropout: false };
  assert.notEqual(await lossOf('dot', true, pastTheHead), await lossOf('cosine', true, pastTheHead));
});

test('a Matryoshka size is compared by cosine too: the loss is that of embeddings, with their prompts, cut and brought to length 1', async () => {
  const dimensions = 8;
  const encoder = await Encoder.load(folderOf('bert'), { device });
  assert.equal(encoder.model.head.at(-1)!.type, 'normalize');
  const prompts = { queryPrompt: 'w5 ', passagePrompt: 'w6 w7 ' };
  const given = {
    batchSize: 6,
    steps: 1,
    seed: 5,
    dropout: false,
    matryoshkaSizes: [dimensions],
    ...prompts,
  };
  const trainer = await Trainer.create(encoder, RECORDS, given);
  const { queries, passages } = batchTexts(
    trainer.sampler.plan(0),
    RECORDS,
    trainer.sampler,
    trainer.options,
  );
  const cut = async (texts: { text: string }[], role: 'query' | 'passage') => {
    const prompt = prompts[`${role}Prompt`];
    const {
      data,
      rows,
      dimensions: all,
    } = await encoder.encode(
      texts.map(({ text }) => text),
      { prompt },
    );
    return Array.from({ length: rows }, (_, r) => {
      const row = [...data.subarray(r * all, r * all + dimensions)];
      return row.map((value) => value / Math.hypot(...row));
    });
  };
  const [q, p] = [await cut(queries, 'query'), await cut(passages, 'passage')];
  const losses = q.map((query, i) => {
    const scores = p.map((passage) => query.reduce((sum, value, k) => sum + value * passage[k]!, 0) / 0.05);
    return Math.log(scores.reduce((sum, score) => sum + Math.exp(score), 0)) - scores[i]!;
  });
  const expected = losses.reduce((sum, loss) => sum + loss) / losses.length;
  for await (const { loss } of trainer.run()) assert.ok(Math.abs(loss - expected) < 1e-4 * expected);
  trainer.dispose();
  await encoder.dispose();
});
