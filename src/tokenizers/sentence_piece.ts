import { XlembedError } from '../errors.js';
import { ProtobufReader } from './protobuf.js';
import type { StageJson, TokenizerJson } from './tokenizer_json.js';
import { addedTokens, leadingTokens, maskToken, metaspace, template, unkId } from './xlm_roberta.js';

/** The parts of sentencepiece_model.proto that a tokenizer is made of. */
export interface SentencePieceModel {
  pieces: { piece: string; score: number }[];
  /** TrainerSpec.model_type: 1 Unigram, 2 BPE, 3 word, 4 char. */
  modelType: number;
  /** NormalizerSpec.precompiled_charsmap; empty when text is left as it is. */
  charsmap: Uint8Array;
}

const unigram = 1;

/**
 * XLM-R's pipeline over its sentencepiece.bpe.model (a Unigram model, whatever the name says), with the ids of the
 * hub: SentencePiece's plus one, `<s>` 0, `<pad>` 1, `</s>` 2, `<unk>` 3, `<mask>` last. The same steps as
 * transformers' XLMRobertaConverter. Throws TOKENIZER_INVALID.
 */
export function sentencePieceTokenizer(bytes: Uint8Array, path: string): TokenizerJson {
  const { pieces, modelType, charsmap } = parseSentencePieceModel(bytes, path);
  if (modelType !== unigram) throw invalid(path, 'a Unigram model (type 1)', `type ${modelType}`);
  const first = pieces.slice(0, 3).map(({ piece }) => piece);
  if (first.join() !== '<unk>,<s>,</s>')
    throw invalid(path, 'the pieces <unk>, <s>, </s> in front', first.join(', '));
  const vocab: [string, number][] = [
    ...leadingTokens.map((token): [string, number] => [token, 0]),
    ...pieces.slice(3).map(({ piece, score }): [string, number] => [piece, score]),
    [maskToken, 0],
  ];
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: addedTokens(vocab.length - 1),
    normalizer: normalizer(charsmap),
    pre_tokenizer: metaspace,
    post_processor: template(),
    decoder: metaspace,
    model: { type: 'Unigram', unk_id: unkId, vocab, byte_fallback: false },
  };
}

function normalizer(charsmap: Uint8Array): StageJson {
  const precompiled = { type: 'Precompiled', precompiled_charsmap: Buffer.from(charsmap).toString('base64') };
  const spaces = [
    { type: 'Strip', strip_left: false, strip_right: true },
    { type: 'Replace', pattern: { Regex: ' {2,}' }, content: '▁' },
  ];
  return { type: 'Sequence', normalizers: charsmap.length > 0 ? [precompiled, ...spaces] : spaces };
}

/** Reads ModelProto. Field numbers: https://github.com/google/sentencepiece, src/sentencepiece_model.proto. */
export function parseSentencePieceModel(bytes: Uint8Array, path: string): SentencePieceModel {
  const model: SentencePieceModel = { pieces: [], modelType: unigram, charsmap: new Uint8Array() };
  try {
    for (const field of new ProtobufReader(bytes).fields()) {
      if (field.number === 1) model.pieces.push(parsePiece(field.bytes()));
      if (field.number === 2) model.modelType = parseModelType(field.bytes());
      if (field.number === 3) model.charsmap = parseCharsmap(field.bytes());
    }
  } catch (cause) {
    throw invalid(path, 'a SentencePiece model', `other bytes (${(cause as Error).message})`);
  }
  if (model.pieces.length === 0) throw invalid(path, 'a SentencePiece model', 'no pieces');
  return model;
}

function parsePiece(bytes: Uint8Array): { piece: string; score: number } {
  const parsed = { piece: '', score: 0 };
  for (const field of new ProtobufReader(bytes).fields()) {
    if (field.number === 1) parsed.piece = field.text();
    if (field.number === 2) parsed.score = field.float();
  }
  return parsed;
}

function parseModelType(bytes: Uint8Array): number {
  let modelType = unigram;
  for (const field of new ProtobufReader(bytes).fields()) if (field.number === 3) modelType = field.integer();
  return modelType;
}

function parseCharsmap(bytes: Uint8Array): Uint8Array {
  let charsmap = new Uint8Array();
  for (const field of new ProtobufReader(bytes).fields())
    if (field.number === 2) charsmap = field.bytes().slice();
  return charsmap;
}

function invalid(path: string, expected: string, received: string): XlembedError {
  return new XlembedError(
    'TOKENIZER_INVALID',
    `expected ${expected} in ${path}, received ${received}`,
    'only models in the manner of XLM-R are read from SentencePiece files; other ones need a tokenizer.json',
  );
}
