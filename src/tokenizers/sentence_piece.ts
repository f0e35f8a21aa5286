import { XlembedError } from '../errors.js';
import { ProtobufReader } from './protobuf.js';
import type { StageJson, TokenizerJson } from './tokenizer_json.js';
import { addedTokens, leadingTokens, maskToken, metaspace, template, unkId } from './xlm_roberta.js';

/** The parts of sentencepiece_model.proto that a tokenizer is made of. */
export interface SentencePieceModel {
  /** `type` is SentencePiece.Type: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte. */
  pieces: { piece: string; score: number; type: number }[];
  /** TrainerSpec.model_type: 1 Unigram, 2 BPE, 3 word, 4 char. */
  modelType: number;
  /** TrainerSpec.treat_whitespace_as_suffix. */
  spaceAsSuffix: boolean;
  /** NormalizerSpec.precompiled_charsmap; empty when text is left as it is. */
  charsmap: Uint8Array;
  /** NormalizerSpec: a space in front of the text. */
  addDummyPrefix: boolean;
  /** NormalizerSpec: no space at the ends, one between words. */
  removeExtraSpaces: boolean;
  /** NormalizerSpec: ▁ for a space. */
  escapeSpaces: boolean;
}

export const unigram = 1;

/**
 * XLM-R's pipeline over its sentencepiece.bpe.model (a Unigram model, whatever the name says), with the ids of the
 * hub: SentencePiece's plus one, `<s>` 0, `<pad>` 1, `</s>` 2, `<unk>` 3, `<mask>` last. The same steps as
 * transformers' XLMRobertaConverter. Throws TOKENIZER_INVALID.
 */
export function sentencePieceTokenizer(bytes: Uint8Array, path: string): TokenizerJson {
  const { pieces, modelType, charsmap } = parseSentencePieceModel(bytes, path);
  if (modelType !== unigram)
    throw invalidSentencePiece(path, 'a Unigram model (type 1)', `type ${modelType}`);
  const first = pieces.slice(0, 3).map(({ piece }) => piece);
  if (first.join() !== '<unk>,<s>,</s>')
    throw invalidSentencePiece(path, 'the pieces <unk>, <s>, </s> in front', first.join(', '));
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
  const model: SentencePieceModel = {
    pieces: [],
    modelType: unigram,
    spaceAsSuffix: false,
    charsmap: new Uint8Array(),
    addDummyPrefix: true,
    removeExtraSpaces: true,
    escapeSpaces: true,
  };
  try {
    for (const field of new ProtobufReader(bytes).fields()) {
      if (field.number === 1) model.pieces.push(parsePiece(field.bytes()));
      if (field.number === 2) Object.assign(model, parseTrainer(field.bytes()));
      if (field.number === 3) Object.assign(model, parseNormalizer(field.bytes()));
    }
  } catch (cause) {
    throw invalidSentencePiece(path, 'a SentencePiece model', `other bytes (${(cause as Error).message})`);
  }
  if (model.pieces.length === 0) throw invalidSentencePiece(path, 'a SentencePiece model', 'no pieces');
  return model;
}

function parsePiece(bytes: Uint8Array): SentencePieceModel['pieces'][number] {
  const parsed = { piece: '', score: 0, type: 1 };
  for (const field of new ProtobufReader(bytes).fields()) {
    if (field.number === 1) parsed.piece = field.text();
    if (field.number === 2) parsed.score = field.float();
    if (field.number === 3) parsed.type = field.integer();
  }
  return parsed;
}

function parseTrainer(bytes: Uint8Array): Partial<SentencePieceModel> {
  const parsed: Partial<SentencePieceModel> = {};
  for (const field of new ProtobufReader(bytes).fields()) {
    if (field.number === 3) parsed.modelType = field.integer();
    if (field.number === 24) parsed.spaceAsSuffix = field.integer() !== 0;
  }
  return parsed;
}

function parseNormalizer(bytes: Uint8Array): Partial<SentencePieceModel> {
  const parsed: Partial<SentencePieceModel> = {};
  for (const field of new ProtobufReader(bytes).fields()) {
    if (field.number === 2) parsed.charsmap = field.bytes().slice();
    if (field.number === 3) parsed.addDummyPrefix = field.integer() !== 0;
    if (field.number === 4) parsed.removeExtraSpaces = field.integer() !== 0;
    if (field.number === 5) parsed.escapeSpaces = field.integer() !== 0;
  }
  return parsed;
}

export function invalidSentencePiece(path: string, expected: string, received: string): XlembedError {
  return new XlembedError(
    'TOKENIZER_INVALID',
    `expected ${expected} in ${path}, received ${received}`,
    'only models in the manner of XLM-R are read from SentencePiece files; other ones need a tokenizer.json',
  );
}
