// A tokenizer with the pieces that the training texts need: rows that no text looks up cost memory and AdamW's time.
// What loses its piece is segmented into smaller ones. No evaluation text is looked at.
import { readFile } from 'node:fs/promises';
import { TokenizerPool } from 'xlembed';
import { writeWhole } from './files.mjs';

/** Times that a piece of several characters occurs for it to stay. */
const KEPT_FROM = 3;
const TEXTS_AT_ONCE = 4096;
const MAX_TOKENS = 128;

/** id -> how often the texts have it. */
async function countIds(path, texts, laserDictionary) {
  const pool = await TokenizerPool.open(path, { maxTokens: MAX_TOKENS, laserDictionary, threads: 2 });
  const counts = new Map();
  for (let first = 0; first < texts.length; first += TEXTS_AT_ONCE) {
    const { inputIds } = await pool.tokenize(texts.slice(first, first + TEXTS_AT_ONCE));
    for (const id of inputIds) counts.set(id, (counts.get(id) ?? 0) + 1);
  }
  await pool.close();
  return counts;
}

/** Single characters stay, so that every word of these scripts can be spelt. */
function isKept(piece, count) {
  const characters = [...piece.replace('▁', '')].length;
  return count >= KEPT_FROM || (characters <= 1 && (count > 0 || !/\p{Script=Han}/u.test(piece)));
}

/** Writes XLM-R's tokenizer.json with fewer pieces; gives their number. */
export async function reduceTokenizer(path, texts, output) {
  const counts = await countIds(path, texts);
  const json = JSON.parse(await readFile(path, 'utf8'));
  const special = new Set(json.added_tokens.map(({ content }) => content));
  const vocab = json.model.vocab.filter(
    ([piece], id) => special.has(piece) || isKept(piece, counts.get(id) ?? 0),
  );
  const ids = new Map(vocab.map(([piece], id) => [piece, id]));
  for (const token of json.added_tokens) token.id = ids.get(token.content);
  for (const token of Object.values(json.post_processor.special_tokens)) {
    token.ids = token.tokens.map((piece) => ids.get(piece));
  }
  json.model = { ...json.model, vocab, unk_id: ids.get('<unk>') };
  await writeWhole(output, JSON.stringify(json));
  return vocab.length;
}

/** Field 1 of ModelProto: a piece. https://github.com/google/sentencepiece, src/sentencepiece_model.proto */
const PIECE_TAG = 0x0a;
const SPECIAL = ['<s>', '<pad>', '</s>', '<unk>'];

/** Writes a SentencePiece model with fewer pieces; gives LASER-2's dictionary for it, piece -> id. */
export async function reduceSentencePiece(path, texts, output) {
  const fields = topFields(await readFile(path));
  const pieces = fields.filter(({ tag }) => tag === PIECE_TAG).map(({ content }) => pieceOf(content));
  const controls = pieces.filter((piece) => /^<.*>$/.test(piece));
  const ordinary = pieces.filter((piece) => !controls.includes(piece));
  const full = new Map([...SPECIAL, ...ordinary].map((piece, id) => [piece, id]));
  const counts = await countIds(path, texts, full);
  const kept = new Set([
    ...controls,
    ...ordinary.filter((piece) => isKept(piece, counts.get(full.get(piece)) ?? 0)),
  ]);
  const parts = fields.filter(({ tag, content }) => tag !== PIECE_TAG || kept.has(pieceOf(content)));
  await writeWhole(output, Buffer.concat(parts.map(({ bytes }) => bytes)));
  return new Map(
    [...SPECIAL, ...ordinary.filter((piece) => kept.has(piece))].map((piece, id) => [piece, id]),
  );
}

/** The message's fields; all of SentencePiece's at the top are messages or texts, with their length in front. */
function topFields(bytes) {
  const fields = [];
  for (let at = 0; at < bytes.length; ) {
    const length = varint(bytes, at + 1);
    const end = length.end + length.value;
    fields.push({ tag: bytes[at], content: bytes.subarray(length.end, end), bytes: bytes.subarray(at, end) });
    at = end;
  }
  return fields;
}

/** Field 1 of a piece is its text. */
function pieceOf(content) {
  const { value, end } = varint(content, 1);
  return content.subarray(end, end + value).toString();
}

function varint(bytes, at) {
  let [value, shift] = [0, 0];
  for (;;) {
    const byte = bytes[at++];
    value += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) return { value, end: at };
    shift += 7;
  }
}
