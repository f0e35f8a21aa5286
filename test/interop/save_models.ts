// Writes models as Python does into ORIGINAL, opens each and saves it into SAVED, with the embeddings that xlembed itself
// gives beside it, for saved_model_opens_in_python.py:
//     node .build/test/interop/save_models.js ORIGINAL SAVED
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Encoder } from '#xlembed/encoding/encoder.js';
import { putVariant, VARIANTS } from '../encoding/variants.js';
import { REFERENCE_MODELS } from '../models/reference_models.js';

const TEXTS = ['a cat', 'The MOON is far away', 'ein hund', '', 'B', 'été 中文 рус'];
const REFERENCE = 'test/reference';

const [original, saved] = process.argv.slice(2);
if (!original || !saved) throw new Error('usage: node .build/test/interop/save_models.js ORIGINAL SAVED');
for (const folder of [original, saved]) mkdirSync(folder, { recursive: true });

for (const name of REFERENCE_MODELS) {
  cpSync(join(REFERENCE, 'models', name), join(original, name), { recursive: true });
}
for (const [name, variant] of VARIANTS) putVariant(variant, join(original, name));
await putVocabularyModel('bert-version-6', 'wordpiece/vocab.txt');
await putVocabularyModel('xlm-roberta-sharded', 'unigram/sentencepiece.bpe.model');

for (const name of readdirSync(original)) {
  const encoder = await Encoder.load(join(original, name), { tokenizerThreads: 1 });
  await encoder.save(join(saved, name));
  const { data, dimensions } = await encoder.encode(TEXTS);
  const rows = TEXTS.map((_, row) => [...data.subarray(row * dimensions, (row + 1) * dimensions)]);
  writeFileSync(join(saved, `${name}.json`), JSON.stringify({ texts: TEXTS, embeddings: rows }));
  await encoder.dispose();
}

/** A model whose tokenizer is a bare vocabulary, without tokenizer.json. */
async function putVocabularyModel(base: string, vocabulary: string): Promise<void> {
  const [kind, file] = vocabulary.split('/') as [string, string];
  const config = JSON.parse(readFileSync(join(REFERENCE, 'models', base, 'config.json'), 'utf8'));
  const configPath = join(saved!, 'config.json');
  writeFileSync(configPath, JSON.stringify({ ...config, vocab_size: 2600, max_position_embeddings: 64 }));
  const tokenizerPath = join(REFERENCE, 'tokenizers', kind, 'tokenizer.json');
  const encoder = await Encoder.fresh({ configPath, tokenizerPath }, 5, { tokenizerThreads: 1 });
  const folder = join(original!, file);
  await encoder.save(folder);
  await encoder.dispose();
  for (const name of ['tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json']) {
    rmSync(join(folder, name));
  }
  cpSync(join(REFERENCE, 'tokenizers', vocabulary), join(folder, file));
  rmSync(configPath);
}
