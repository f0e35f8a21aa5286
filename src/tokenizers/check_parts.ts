import { isSoundCharacterMap } from './character_map_check.js';
import {
  invalidTokenizer,
  type ModelJson,
  type StageJson,
  stagesOf,
  type TokenizerJson,
} from './tokenizer_json.js';

/**
 * Checks what the tokenizers library does not: where these parts of a file contradict themselves it ends the whole
 * process. Throws TOKENIZER_INVALID.
 */
export function checkParts(json: TokenizerJson, path: string): void {
  for (const stage of stagesOf(json.normalizer, 'normalizers')) checkCharacterMap(stage, path);
  for (const stage of stagesOf(json.pre_tokenizer, 'pretokenizers')) checkLength(stage, path);
  for (const stage of stagesOf(json.post_processor, 'processors')) checkTemplate(stage, path);
  if (json.model.type === 'BPE') checkMerges(json.model, path);
}

function checkCharacterMap({ type, precompiled_charsmap: text }: StageJson, path: string): void {
  if (type !== 'Precompiled') return;
  const bytes = Buffer.from(typeof text === 'string' ? text : '', 'base64');
  if (bytes.toString('base64') === text && isSoundCharacterMap(bytes)) return;
  throw invalidTokenizer(path, 'a sound precompiled_charsmap', `${bytes.length} damaged bytes`);
}

function checkLength({ type, length }: StageJson, path: string): void {
  if (type === 'FixedLength' && length === 0) throw invalidTokenizer(path, 'a length above 0', '0');
}

function checkTemplate({ type, single, pair, special_tokens: known }: StageJson, path: string): void {
  if (type !== 'TemplateProcessing') return;
  for (const piece of [single, pair].flat() as { SpecialToken?: { id?: string } }[]) {
    const id = piece?.SpecialToken?.id;
    if (id === undefined || Object.hasOwn(Object(known), id)) continue;
    throw invalidTokenizer(path, 'a template of its own special_tokens', JSON.stringify(id));
  }
}

/** Each merge, "a b" or [a, b], makes a piece of the vocabulary. */
function checkMerges({ vocab, merges, continuing_subword_prefix: prefix }: ModelJson, path: string): void {
  if (!Array.isArray(merges)) return;
  const skipped = typeof prefix === 'string' ? prefix.length : 0;
  for (const merge of merges as unknown[]) {
    const [left, right, ...more] = typeof merge === 'string' ? merge.split(' ') : [merge].flat();
    if (typeof left !== 'string' || typeof right !== 'string' || more.length > 0) continue;
    if (right.length >= skipped && Object.hasOwn(vocab, left + right.slice(skipped))) continue;
    throw invalidTokenizer(path, 'merges into pieces of the vocabulary', JSON.stringify(merge));
  }
}
