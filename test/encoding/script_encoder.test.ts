import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { ScriptEncoder, type ScriptOutput } from '#xlembed/encoding/script_encoder.js';
import { Tensor } from '#xlembed/tensor.js';
import { TokenizerPool } from '#xlembed/tokenizers/tokenizer_pool.js';
import { device } from '../device.js';
import { folderOf, largestDifference } from './goldens.js';

const FOLDER = 'test/reference/script';
const BERT = `${FOLDER}/bert_traced.pt`;
const TOY = `${FOLDER}/toy.pt`;

interface Pooled {
  mean: number[][];
  first: number[][];
  mean_normalized: number[][];
}
const golden = JSON.parse(readFileSync(`${FOLDER}/goldens.json`, 'utf8')) as {
  sequences: number[][];
  shape: [number, number];
  toy: Pooled & { forward: number[]; pooled: number[] };
  bert: Pooled & { pooler_output: number[][] };
};
/** The tokenizer of the goldens puts w2 and w3 around a text; wN has id N. */
const TEXTS = golden.sequences.map((ids) =>
  ids
    .slice(1, -1)
    .map((id) => `w${id}`)
    .join(' '),
);
const temporary = mkdtempSync(join(tmpdir(), 'xlembed-script-'));
after(() => rmSync(temporary, { recursive: true }));

function paddedInputs(): [ids: Tensor, mask: Tensor] {
  const [rows, longest] = golden.shape;
  const ids = new BigInt64Array(rows * longest);
  const mask = new BigInt64Array(rows * longest);
  for (const [row, sequence] of golden.sequences.entries()) {
    for (const [token, id] of sequence.entries()) {
      ids[row * longest + token] = BigInt(id);
      mask[row * longest + token] = 1n;
    }
  }
  return [Tensor.from(ids, golden.shape), Tensor.from(mask, golden.shape)];
}

async function values(output: ScriptOutput): Promise<ArrayLike<number>> {
  assert.ok(output instanceof Tensor);
  return (await output.data()) as Float32Array;
}

for (const freeze of [true, false]) {
  test(`a scripted module gives torch's values, ${freeze ? 'frozen' : 'as it is'}`, async () => {
    const toy = await ScriptEncoder.load(TOY, { device, freeze });
    const [ids, mask] = paddedInputs();
    const output = await toy.forward(ids, mask);
    assert.ok(output instanceof Tensor);
    assert.deepEqual([output.shape, output.dtype], [[...golden.shape, 5], 'float32']);
    assert.equal(output.device.split(':')[0], device.split(':')[0]);
    assert.ok(largestDifference(await values(output), golden.toy.forward) <= 1e-6);
    const [mean] = (await toy.call('pooled', ids, mask)) as ScriptOutput[];
    assert.ok(largestDifference(await values(mean!), golden.toy.pooled) <= 1e-6);
    toy.dispose();
  });
}

test('tuples, lists, dictionaries, named tuples and plain values come back as what they are', async () => {
  const toy = await ScriptEncoder.load(TOY, { device });
  assert.deepEqual(toy.methods, ['dictionary', 'forward', 'mixed', 'named', 'pooled', 'raises']);
  const tokens = Tensor.from(BigInt64Array.of(4n, 5n));
  const [integer, real, word, yes, none, list] = (await toy.call('mixed', tokens)) as ScriptOutput[];
  assert.deepEqual([integer, real, word, yes, none], [7, 0.5, 'word', true, null]);
  const items = await Promise.all((list as Tensor[]).map((item) => item.data()));
  assert.deepEqual(items, [BigInt64Array.of(4n, 5n), BigInt64Array.of(5n, 6n)]);
  const dictionary = (await toy.call('dictionary', tokens)) as Record<string, Tensor>;
  assert.deepEqual(Object.keys(dictionary).sort(), ['doubled', 'half']);
  assert.deepEqual(await dictionary.half!.data(), Float32Array.of(2, 2.5));
  assert.equal(dictionary.half!.dtype, 'bfloat16');
  const named = (await toy.call('named', ...paddedInputs())) as Record<string, Tensor>;
  assert.deepEqual(
    await named.lengths!.data(),
    BigInt64Array.of(...golden.sequences.map((s) => BigInt(s.length))),
  );
  toy.dispose();
});

test('texts: padded, pooled and normalised as torch does', async () => {
  const tokenizer = await TokenizerPool.open(`${folderOf('bert')}/tokenizer.json`, {
    maxTokens: 40,
    threads: 1,
  });
  const toy = await ScriptEncoder.load(TOY, { device });
  const bert = await ScriptEncoder.load(BERT, { device });
  for (const [encoder, expected, dimensions] of [
    [toy, golden.toy, 5],
    [bert, golden.bert, 24],
  ] as const) {
    // The small budget makes several batches, whose padding differs from the golden's.
    for (const tokenBudget of [8192, 9]) {
      const mean = await encoder.encode(TEXTS, { tokenizer, tokenBudget });
      assert.deepEqual([mean.rows, mean.dimensions, mean.tokens], [TEXTS.length, dimensions, 22]);
      assert.ok(largestDifference(mean.data, expected.mean.flat()) <= 2e-6);
      const first = await encoder.encode(TEXTS, { tokenizer, tokenBudget, pooling: 'first' });
      assert.ok(largestDifference(first.data, expected.first.flat()) <= 2e-6);
      const normalized = await encoder.encode(TEXTS, { tokenizer, tokenBudget, normalize: true });
      assert.ok(largestDifference(normalized.data, expected.mean_normalized.flat()) <= 2e-6);
    }
  }
  const pooled = await bert.encode(TEXTS, { tokenizer, output: 'pooler_output' });
  assert.ok(largestDifference(pooled.data, golden.bert.pooler_output.flat()) <= 2e-6);
  assert.equal((await bert.encode([], { tokenizer })).rows, 0);
  const prompted = await bert.encode(['w9'], { tokenizer, prompt: 'w8 ' });
  assert.deepEqual(prompted.data, (await bert.encode(['w8 w9'], { tokenizer })).data);

  const refused = (options: object, code: string, message: RegExp) =>
    assert.rejects(bert.encode(TEXTS, { tokenizer, ...options }), { code, message });
  await refused({ output: 'sentence' }, 'MODEL_UNSUPPORTED', /expected a tensor of embeddings/);
  await refused({ output: 0 }, 'MODEL_UNSUPPORTED', /Dict\[str, Tensor\]/);
  await refused({ output: -1 }, 'INVALID_ARGUMENT', /output/);
  await refused({ pooling: 'none' }, 'MODEL_UNSUPPORTED', /\(B, D\) without pooling/);
  await refused({ output: 'pooler_output', pooling: 'mean' }, 'MODEL_UNSUPPORTED', /\[5, 24\]/);
  await refused({ pooling: 'max' }, 'INVALID_ARGUMENT', /mean or first or none/);
  for (const texts of [[3], 'one', undefined]) {
    await assert.rejects(bert.encode(texts as unknown as string[], { tokenizer }), {
      code: 'INVALID_ARGUMENT',
    });
  }
  toy.dispose();
  bert.dispose();
  await assert.rejects(bert.encode(TEXTS, { tokenizer }), { code: 'DISPOSED' });
  await tokenizer.close();
});

test('wrong calls are refused with their code', async () => {
  const toy = await ScriptEncoder.load(TOY, { device });
  const [ids, mask] = paddedInputs();
  const rejected = (call: Promise<unknown>, code: string, message: RegExp) =>
    assert.rejects(call, { name: 'XlembedError', code, message });
  await rejected(toy.call('nothing', ids), 'SCRIPT_METHOD_MISSING', /no method nothing.*forward/);
  await rejected(toy.forward(ids), 'INVALID_ARGUMENT', /mask/);
  await rejected(toy.forward(ids, mask, mask), 'INVALID_ARGUMENT', /at most 3/);
  await rejected(toy.forward(5 as unknown as Tensor), 'INVALID_ARGUMENT', /inputs\[0\]/);
  await rejected(toy.call('raises', ids), 'SCRIPT_FAILED', /no tokens wanted/);
  const outside = Tensor.from(BigInt64Array.of(97n), [1, 1]);
  // On a GPU an id without an embedding ends the whole process's work there.
  if (device === 'cpu') await rejected(toy.forward(outside, outside), 'SCRIPT_FAILED', /out of range/);
  const disposed = Tensor.from(BigInt64Array.of(1n), [1, 1]);
  disposed.dispose();
  await rejected(toy.forward(disposed, outside), 'DISPOSED', /NativeTensor/);
  toy.dispose();
  await rejected(toy.forward(ids, mask), 'DISPOSED', /NativeScriptModule/);
  assert.throws(() => toy.methods, { code: 'DISPOSED' });
});

test('files that are no TorchScript are refused with their code', async () => {
  const invalid = { name: 'XlembedError', code: 'SCRIPT_INVALID' };
  const written = (name: string, bytes: Uint8Array | string) => {
    writeFileSync(join(temporary, name), bytes);
    return join(temporary, name);
  };
  const whole = readFileSync(BERT);
  await assert.rejects(ScriptEncoder.load(join(temporary, 'absent.pt')), { code: 'FILE_NOT_FOUND' });
  await assert.rejects(ScriptEncoder.load(temporary), { code: 'FILE_NOT_FOUND' });
  await assert.rejects(ScriptEncoder.load(written('empty.pt', '')), invalid);
  await assert.rejects(ScriptEncoder.load(written('text.pt', 'not an archive at all')), invalid);
  await assert.rejects(ScriptEncoder.load(`${FOLDER}/state_dict.pt`), invalid);
  for (const share of [0.01, 0.3, 0.9, 0.999]) {
    await assert.rejects(
      ScriptEncoder.load(written('cut.pt', whole.subarray(0, whole.length * share))),
      invalid,
    );
  }
  await assert.rejects(ScriptEncoder.load(BERT, { device: 'cuda:99' }), { code: 'DEVICE_UNAVAILABLE' });
  await assert.rejects(ScriptEncoder.load(BERT, { device: 'tpu' }), { code: 'DEVICE_UNAVAILABLE' });
});

test('a damaged program is refused', async () => {
  const bytes = readFileSync(TOY);
  const at = bytes.indexOf('def forward');
  assert.ok(at > 0);
  bytes.write('dXf', at);
  const path = join(temporary, 'damaged.pt');
  writeFileSync(path, bytes);
  await assert.rejects(ScriptEncoder.load(path), { name: 'XlembedError', code: 'SCRIPT_INVALID' });
});

test('forwards at the same time, of two modules, keep apart', async () => {
  const [toy, bert] = await Promise.all([
    ScriptEncoder.load(TOY, { device }),
    ScriptEncoder.load(BERT, { device }),
  ]);
  const [ids, mask] = paddedInputs();
  const outputs = await Promise.all(
    Array.from({ length: 40 }, (_, n) => (n % 2 ? toy : bert).forward(ids, mask)),
  );
  const expected = golden.bert.first.flat();
  for (const [n, output] of outputs.entries()) {
    if (n % 2) {
      assert.ok(largestDifference(await values(output), golden.toy.forward) <= 1e-6);
    } else {
      const hidden = await values((output as Record<string, Tensor>).last_hidden_state!);
      const width = golden.shape[1] * 24;
      const first = golden.sequences.flatMap((_, row) =>
        Array.from(hidden).slice(row * width, row * width + 24),
      );
      assert.ok(largestDifference(first, expected) <= 2e-6);
    }
  }
  // What was asked for before is still answered.
  const last = toy.forward(ids, mask);
  toy.dispose();
  assert.ok(largestDifference(await values(await last), golden.toy.forward) <= 1e-6);
  bert.dispose();
});

test('worker threads run modules of their own, and may end with work in flight', async () => {
  const script = JSON.stringify(new URL('../../../dist/encoding/script_encoder.js', import.meta.url).href);
  const tensor = JSON.stringify(new URL('../../../dist/tensor.js', import.meta.url).href);
  const code = `
    const { parentPort } = require('node:worker_threads');
    (async () => {
      const { ScriptEncoder } = await import(${script});
      const { Tensor } = await import(${tensor});
      const toy = await ScriptEncoder.load(${JSON.stringify(TOY)}, ${JSON.stringify({ device })});
      const ids = Tensor.from(BigInt64Array.of(5n, 6n), [1, 2]);
      const mask = Tensor.from(BigInt64Array.of(1n, 1n), [1, 2]);
      const output = await toy.forward(ids, mask);
      const data = await output.data();
      for (let n = 0; n < 200; ++n) toy.forward(ids, mask).catch(() => {});
      parentPort.postMessage([output.shape, data]);
    })();`;
  const toy = await ScriptEncoder.load(TOY, { device });
  const one = await toy.forward(
    Tensor.from(BigInt64Array.of(5n, 6n), [1, 2]),
    Tensor.from(BigInt64Array.of(1n, 1n), [1, 2]),
  );
  const expected = await (one as Tensor).data();
  const workers = [1, 2, 3].map(() => new Worker(code, { eval: true }));
  const answers = await Promise.all(
    workers.map(
      (worker) =>
        new Promise((resolve, reject) => {
          worker.once('message', resolve);
          worker.once('error', reject);
        }),
    ),
  );
  for (const answer of answers) assert.deepEqual(answer, [[1, 2, 5], expected]);
  await Promise.all(workers.map((worker) => worker.terminate()));
  assert.deepEqual(await ((await toy.forward(...paddedInputs())) as Tensor).shape, [...golden.shape, 5]);
  toy.dispose();
});
