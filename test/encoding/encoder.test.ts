import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { Encoder } from '#xlembed/encoding/encoder.js';
import { describeFreshModel, openModel } from '#xlembed/models/open_model.js';
import { type EncoderDtype, type HeadModule, loadNative, type NativeEncoder } from '#xlembed/native.js';
import { device } from '../device.js';
import { collectGarbage } from '../garbage.js';
import { folderOf, largestDifference, MODELS, packed, readGolden } from './goldens.js';

async function nativeEncoder(
  name: string,
  pooling: 'mean' | 'first',
  dtype: EncoderDtype,
): Promise<NativeEncoder> {
  const { backbone, sources } = await openModel(folderOf(name));
  const head: HeadModule[] = [{ type: 'pool', modes: [pooling] }, { type: 'normalize' }];
  return loadNative().createEncoder({ backbone, head, weights: { sources }, device: 'cpu', dtype });
}

// float32 differs by rounding alone; bfloat16 has 8 bits, and torch rounds after every operation as well.
const TOLERANCE = { float32: 2e-6, bfloat16: 2e-2 } as const;

for (const name of MODELS) {
  for (const dtype of ['float32', 'bfloat16'] as const) {
    for (const pooling of ['mean', 'first'] as const) {
      test(`${name} ${dtype} ${pooling}: the vectors of transformers`, async () => {
        const golden = readGolden(name);
        const encoder = await nativeEncoder(name, pooling, dtype);
        const actual = await encoder.encode(packed(golden.sequences));
        assert.ok(largestDifference(actual, golden[dtype][pooling].flat()) <= TOLERANCE[dtype]);
        encoder.dispose();
      });
    }
  }

  test(`${name} int8: as near to float32 as eight bits allow`, async () => {
    const golden = readGolden(name);
    const encoder = await nativeEncoder(name, 'mean', 'int8');
    const actual = await encoder.encode(packed(golden.sequences));
    const { dimensions } = encoder;
    for (const [row, expected] of golden.float32.mean.entries()) {
      const own = actual.subarray(row * dimensions, (row + 1) * dimensions);
      assert.ok(expected.reduce((sum, value, d) => sum + value * own[d]!, 0) >= 0.999);
    }
    encoder.dispose();
  });

  for (const dtype of ['float32', 'bfloat16', 'int8'] as const) {
    test(`${name} ${dtype}: the same bits whatever sequences are beside`, async () => {
      const { sequences } = readGolden(name);
      const encoder = await nativeEncoder(name, 'mean', dtype);
      const many = Array.from({ length: 40 }, () => sequences).flat();
      const together = await encoder.encode(packed(many));
      const { dimensions } = encoder;
      for (const [row, sequence] of many.entries()) {
        if (row % 37 > 0 && row >= sequences.length) continue;
        const alone = await encoder.encode(packed([sequence]));
        assert.deepEqual(alone, together.slice(row * dimensions, (row + 1) * dimensions));
      }
      encoder.dispose();
    });
  }
}

test('texts: input order over windows and token budgets, counts, prompts', async () => {
  const encoder = await Encoder.load(folderOf('xlm-roberta'), { device });
  const texts = Array.from({ length: 5000 }, (_, n) => `${'w7 '.repeat(1 + (n % 9))}w${10 + (n % 80)}`);
  const all = await encoder.encode(texts, { tokenBudget: 500 });
  assert.equal(all.rows, 5000);
  assert.equal(
    all.tokens,
    texts.reduce((sum, text) => sum + text.split(' ').length + 2, 0),
  );
  for (const row of [0, 1, 4095, 4096, 4999]) {
    const one = await encoder.encode([texts[row]!]);
    const from = row * all.dimensions;
    assert.ok(largestDifference(one.data, all.data.subarray(from, from + all.dimensions)) <= 1e-6);
  }
  const oddities = ['', 'w9 \ud800', 'w9 '.repeat(100)];
  const odd = await encoder.encode([...oddities, ...new Array(4095).fill('w9'), ...oddities]);
  assert.deepEqual([odd.empty, odd.replacedSurrogates, odd.truncated], [2, 2, 2]);
  const prompted = await encoder.encode(['w9'], { prompt: 'w8 ' });
  const spelt = await encoder.encode(['w8 w9']);
  assert.deepEqual(prompted.data, spelt.data);
  assert.equal((await encoder.encode([])).rows, 0);
  await assert.rejects(encoder.encode([5 as unknown as string]), { code: 'INVALID_ARGUMENT' });
  // As where it is disposed of while texts are tokenised.
  encoder.native.dispose();
  await assert.rejects(encoder.encode(['w9']), { code: 'DISPOSED' });
  await assert.rejects(encoder.save(join(tmpdir(), 'xlembed-disposed')), { code: 'DISPOSED' });
  await encoder.dispose();
  await assert.rejects(encoder.encode(['w9']), { code: 'DISPOSED' });
});

test('texts are those of the call, whatever becomes of their array', async () => {
  const encoder = await Encoder.load(folderOf('bert'), { device, tokenizerThreads: 1 });
  const texts = Array.from({ length: 5000 }, (_, n) => `w${n % 9}`);
  for (const change of [() => texts.push('w1'), () => texts.splice(10)]) {
    const expected = await encoder.encode(texts);
    const running = encoder.encode(texts);
    change();
    assert.deepEqual(await running, expected);
  }
  const tokenizing = encoder.tokenizer.tokenize(texts);
  texts.length = 1;
  assert.equal((await tokenizing).cumulativeSeqLengths.length, 11);
  await assert.rejects(encoder.tokenizer.tokenize('w1' as unknown as string[]), { code: 'INVALID_ARGUMENT' });
  await encoder.dispose();
  await assert.rejects(encoder.encode([]), { code: 'DISPOSED', message: 'this encoder was disposed' });
});

test('texts are cut where asked, and never behind what the model takes', async () => {
  const { maxTokens: most } = await openModel(folderOf('xlm-roberta'));
  for (const maxTokens of [5, most, 1000]) {
    const encoder = await Encoder.load(folderOf('xlm-roberta'), { device, maxTokens, tokenizerThreads: 1 });
    const { tokens, truncated } = await encoder.encode(['w9 '.repeat(100), 'w9 w9 w9']);
    assert.deepEqual([tokens, truncated], [Math.min(maxTokens, most) + 5, 1]);
    await encoder.dispose();
  }
});

test('fresh weights: the same for a seed, others for another', async () => {
  const model = {
    configPath: `${folderOf('bert')}/config.json`,
    tokenizerPath: `${folderOf('bert')}/tokenizer.json`,
  };
  const vectors = [];
  for (const seed of [1, 1, 2]) {
    const encoder = await Encoder.fresh(model, seed);
    vectors.push((await encoder.encode(['w9 w10'])).data);
    await encoder.dispose();
  }
  assert.deepEqual(vectors[0], vectors[1]);
  assert.notDeepEqual(vectors[0], vectors[2]);
  for (const seed of [-1, 1.5, Number.NaN, 2 ** 53])
    await assert.rejects(Encoder.fresh(model, seed), { code: 'INVALID_ARGUMENT', message: /for seed/ });
  assert.equal(describeFreshModel(model).maxTokens, 40);
});

test('save and load: the same vectors', async () => {
  const folder = join(mkdtempSync(join(tmpdir(), 'xlembed-')), 'model');
  const encoder = await Encoder.load(folderOf('xlm-roberta'), { device });
  await encoder.save(folder, { prompts: { query: 'w8 ' } });
  await assert.rejects(encoder.save(folder), { code: 'FILE_EXISTS' });
  const again = await Encoder.load(folder, { device });
  assert.deepEqual((await again.encode(['w9'])).data, (await encoder.encode(['w9'])).data);
  assert.equal(again.promptOf({ role: 'query' }), 'w8 ');
  assert.equal(again.promptOf({ role: 'passage' }), '');
  assert.equal(again.promptOf({}), '');
  again.model.defaultPrompt = 'query';
  const prompted = await again.encode(['w8 w9'], { prompt: '' });
  assert.deepEqual((await again.encode(['w9'])).data, prompted.data);
  await Promise.all([encoder.dispose(), again.dispose()]);
  rmSync(join(folder, '..'), { recursive: true });
});

test('wrong input is refused with its code', async () => {
  const encoder = await nativeEncoder('bert', 'mean', 'float32');
  const encode = (ids: number[], cumulative: number[]) =>
    encoder.encode({ inputIds: Int32Array.from(ids), cumulativeSeqLengths: Int32Array.from(cumulative) });
  await assert.rejects(encode([97], [0, 1]), /^Error: VOCABULARY_MISMATCH: token id 97 at position 0/);
  await assert.rejects(encode([-1], [0, 1]), /VOCABULARY_MISMATCH/);
  await assert.rejects(encode([5, 6], [0, 1]), /INVALID_ARGUMENT/);
  await assert.rejects(encode([5, 6], [0, 2, 1, 2]), /INVALID_ARGUMENT/);
  await assert.rejects(encode(new Array(41).fill(5), [0, 41]), /INVALID_ARGUMENT.*0 to 40/);
  await assert.rejects(Encoder.load(folderOf('bert'), { device: 'cuda:99' }), { code: 'DEVICE_UNAVAILABLE' });
  await assert.rejects(Encoder.load(folderOf('bert'), { device: 'tpu' }), { code: 'DEVICE_UNAVAILABLE' });
  await assert.rejects(nativeEncoder('bert', 'mean', 'int7' as EncoderDtype), { message: /int7/ });
});

test('a tokenizer with more ids than the model has embeddings is refused', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'xlembed-'));
  for (const file of ['config.json', 'model.safetensors', 'tokenizer.json']) {
    copyFileSync(join(folderOf('bert'), file), join(folder, file));
  }
  const tokenizer = JSON.parse(readFileSync(join(folder, 'tokenizer.json'), 'utf8'));
  tokenizer.model.vocab.w97 = 97;
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(tokenizer));
  await assert.rejects(Encoder.load(folder), { code: 'VOCABULARY_MISMATCH' });
  rmSync(folder, { recursive: true });
});

test('an encoder that nobody refers to any more ends its threads', async () => {
  const threads = () => readdirSync('/proc/self/task').length;
  const threadsWithAnother = async (disposes: boolean) => {
    const encoder = await Encoder.load(folderOf('bert'), { tokenizerThreads: 12 }); // three workers
    await encoder.encode(['a b']);
    if (disposes) await encoder.dispose();
    return threads();
  };
  const before = await threadsWithAnother(true);
  assert.ok((await threadsWithAnother(false)) >= before + 3);
  for (let round = 0; threads() > before && round < 1000; ++round) {
    await collectGarbage();
    await setTimeout(10);
  }
  assert.equal(threads(), before);
});

const NATIVE = JSON.stringify(new URL('../../../dist/native.js', import.meta.url).href);
const ENCODER = JSON.stringify(new URL('../../../dist/encoding/encoder.js', import.meta.url).href);
const FOLDER = JSON.stringify(folderOf('xlm-roberta'));

test('several encoders in several worker threads, ended with work in flight, do no harm', async () => {
  const code = `
    const { parentPort } = require('node:worker_threads');
    (async () => {
      const { Encoder } = await import(${ENCODER});
      const encoders = await Promise.all([1, 2].map(() => Encoder.load(${FOLDER}, { tokenizerThreads: 1 })));
      const texts = Array.from({ length: 300 }, (_, n) => 'w' + (n % 90));
      await Promise.all(encoders.map((encoder) => encoder.encode(texts)));
      for (const encoder of encoders) for (let n = 0; n < 20; ++n) encoder.encode(texts).catch(() => {});
      parentPort.postMessage('busy');
    })();`;
  for (let round = 0; round < 2; ++round) {
    const workers = [1, 2].map(() => new Worker(code, { eval: true }));
    await Promise.all(
      workers.map(
        (worker) =>
          new Promise((resolve, reject) => {
            worker.once('message', resolve);
            worker.once('error', reject);
          }),
      ),
    );
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
  const encoder = await Encoder.load(folderOf('bert'), { device });
  assert.equal((await encoder.encode(['w9'])).rows, 1);
  await encoder.dispose();
});

test('a process that exits with work in flight exits with its own code', () => {
  const code = `
    const { loadNative } = await import(${NATIVE});
    const { Encoder } = await import(${ENCODER});
    const encoder = await Encoder.load(${FOLDER}, { tokenizerThreads: 1 });
    const ids = Int32Array.from({ length: 30000 }, (_, n) => 5 + (n % 90));
    const cumulative = Int32Array.from({ length: 1001 }, (_, n) => n * 30);
    for (let n = 0; n < 50; ++n) encoder.native.encode({ inputIds: ids, cumulativeSeqLengths: cumulative });
    setTimeout(() => process.exit(7), 30);`;
  const { status, signal, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', code], {
    encoding: 'utf8',
  });
  assert.deepEqual({ status, signal }, { status: 7, signal: null }, stderr);
});
