import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Encoder } from '#xlembed/encoding/encoder.js';
import { device } from '../device.js';
import { largestDifference } from './goldens.js';
import { putVariant, VARIANTS } from './variants.js';

const scratch = mkdtempSync(join(tmpdir(), 'xlembed-variants-'));
after(() => rmSync(scratch, { recursive: true }));

async function embed(folder: string, texts: string[], saveTo?: string): Promise<Float32Array> {
  const encoder = await Encoder.load(folder, { device, tokenizerThreads: 1 });
  try {
    if (saveTo) await encoder.save(saveTo);
    return (await encoder.encode(texts)).data;
  } finally {
    await encoder.dispose();
  }
}

for (const [name, variant] of VARIANTS) {
  test(`${name}: the vectors of sentence-transformers, also once saved`, async () => {
    const folder = putVariant(variant, join(scratch, name));
    const saved = join(scratch, `${name}, saved`);
    const encoder = await Encoder.load(folder, { device, tokenizerThreads: 1 });
    const { inputIds } = await encoder.tokenizer.tokenize(variant.texts);
    assert.deepEqual([...inputIds], variant.input_ids.flat());
    await encoder.dispose();
    const expected = variant.embeddings.flat();
    const scale = Math.max(...expected.map(Math.abs));
    assert.ok(largestDifference(await embed(folder, variant.texts, saved), expected) <= 2e-6 * scale);
    assert.ok(largestDifference(await embed(saved, variant.texts), expected) <= 2e-6 * scale);
  });
}

const TOKENIZERS = [
  { file: 'vocab.txt', kind: 'wordpiece', model: 'bert-version-6' },
  { file: 'sentencepiece.bpe.model', kind: 'unigram', model: 'xlm-roberta-sharded' },
];

for (const { file, kind, model } of TOKENIZERS) {
  test(`a folder with ${file} in place of tokenizer.json: the same vectors, and tokenizer.json once saved`, async () => {
    const source = `test/reference/tokenizers/${kind}`;
    const configPath = join(scratch, `${kind}.json`);
    const base = JSON.parse(readFileSync(`test/reference/models/${model}/config.json`, 'utf8'));
    const wide = { ...base, vocab_size: 8000, max_position_embeddings: 64 };
    writeFileSync(configPath, JSON.stringify(wide));
    const fresh = await Encoder.fresh({ configPath, tokenizerPath: `${source}/tokenizer.json` }, 5);
    const [whole, bare] = [join(scratch, kind), join(scratch, `${kind}-bare`)];
    await fresh.save(whole);
    await fresh.dispose();
    cpSync(whole, bare, { recursive: true });
    for (const name of ['tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json']) {
      rmSync(join(bare, name));
    }
    cpSync(join(source, file), join(bare, file));
    const texts = ['The moon is far away', 'Ein HUND', '', 'été 中文 рус'];
    const expected = await embed(whole, texts);
    assert.deepEqual(await embed(bare, texts, join(scratch, `${kind}-saved`)), expected);
    assert.deepEqual(await embed(join(scratch, `${kind}-saved`), texts), expected);
    assert.ok(JSON.parse(readFileSync(join(scratch, `${kind}-saved/tokenizer.json`), 'utf8')).model);
  });
}
