import { invalidSentencePiece, type SentencePieceModel, unigram } from '../sentence_piece.js';
import type { StageJson, TokenizerJson } from '../tokenizer_json.js';

/** ModelProto.SentencePiece.Type. */
const pieceTypes = { normal: 1, unknown: 2, control: 3, unused: 5 };
const unkPiece = '<unk>';
const endPiece = '</s>';

/** A character that no prepared text has: pieces that begin with it are never found. */
const never = '\0';

/**
 * SentencePiece's own pipeline over the whole sentence: no added token, no splitting into words. The ids are those of
 * the SentencePiece file; LaserIds gives them LASER's meaning. Throws TOKENIZER_INVALID.
 */
export function laserTokenizerJson(model: SentencePieceModel, path: string): TokenizerJson {
  const { pieces, modelType, spaceAsSuffix } = model;
  if (modelType !== unigram)
    throw invalidSentencePiece(path, 'a Unigram model (type 1)', `type ${modelType}`);
  if (spaceAsSuffix) throw invalidSentencePiece(path, 'pieces that begin with their space', 'the reverse');
  const unkId = pieces.findIndex(({ type }) => type === pieceTypes.unknown);
  if (unkId < 0) throw invalidSentencePiece(path, 'a piece for what is unknown', 'none');
  const odd = pieces.find(({ type }) => !Object.values(pieceTypes).includes(type));
  if (odd)
    throw invalidSentencePiece(path, 'ordinary and control pieces', `${odd.piece} of type ${odd.type}`);
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [],
    normalizer: { type: 'Sequence', normalizers: normalizers(model) },
    pre_tokenizer: null,
    post_processor: null,
    decoder: null,
    model: {
      type: 'Unigram',
      unk_id: unkId,
      vocab: pieces.map(({ piece, score, type }): [string, number] => [
        type === pieceTypes.normal ? piece : never + piece,
        score,
      ]),
      byte_fallback: false,
    },
  };
}

/** NormalizerSpec: what becomes of spaces, after the character map. */
function normalizers({ removeExtraSpaces, addDummyPrefix, escapeSpaces }: SentencePieceModel) {
  const stages: StageJson[] = [];
  if (removeExtraSpaces) stages.push(replace({ Regex: ' {2,}' }, ' '), replace({ Regex: '\\A +| +\\z' }, ''));
  if (addDummyPrefix) stages.push({ type: 'Prepend', prepend: ' ' });
  if (escapeSpaces) stages.push(replace({ String: ' ' }, '▁'));
  // A meta symbol in the text itself is a space to SentencePiece, also where it removes spaces at the end.
  if (removeExtraSpaces && escapeSpaces) stages.push(replace({ Regex: '▁+\\z' }, ''));
  return stages;
}

function replace(pattern: { Regex: string } | { String: string }, content: string): StageJson {
  return { type: 'Replace', pattern, content };
}

/** What a worker needs to turn the ids of laserTokenizerJson() into LASER's; it is copied to each thread. */
export interface LaserIdTable {
  /** (SentencePiece ids): the id in LASER's dictionary, or -1 where a piece stands for none or several. */
  single: Int32Array;
  /** Ids of those pieces. */
  several: ReadonlyMap<number, readonly number[]>;
  unkPieceId: number;
  unkId: number;
  endId: number;
  /** SentencePiece's own, to be applied to prepared texts; empty when there is none. */
  charsmap: Uint8Array;
}

/**
 * LASER joins the pieces with spaces, splits the line at white space and looks every part up by its text: a piece of
 * nothing but an ideographic space vanishes, one that contains a line separator counts as two. `dictionary` has <unk>
 * and </s>.
 */
export function laserIdTable(
  json: TokenizerJson,
  { pieces, charsmap }: SentencePieceModel,
  dictionary: ReadonlyMap<string, number>,
): LaserIdTable {
  const unkId = dictionary.get(unkPiece)!;
  const several = new Map<number, number[]>();
  const single = Int32Array.from(pieces, ({ piece }, id) => {
    const ids = partsOf(piece).map((part) => dictionary.get(part) ?? unkId);
    if (ids.length === 1) return ids[0]!;
    several.set(id, ids);
    return -1;
  });
  return {
    single,
    several,
    unkPieceId: json.model.unk_id!,
    unkId,
    endId: dictionary.get(endPiece)!,
    charsmap,
  };
}

/** LASER's ids, without </s>. `surfaces` gives the text of each piece, which only the unknown ones need. */
export function toLaserIds(
  pieceIds: readonly number[],
  surfaces: () => readonly string[],
  { single, several, unkPieceId, unkId }: LaserIdTable,
): number[] {
  if (!pieceIds.some((id) => id === unkPieceId || single[id]! < 0)) return pieceIds.map((id) => single[id]!);
  const texts = surfaces();
  return pieceIds.flatMap((id, n) => {
    if (id === unkPieceId) return partsOf(texts[n]!).map(() => unkId);
    return single[id]! < 0 ? several.get(id)! : [single[id]!];
  });
}

function partsOf(piece: string): string[] {
  return piece.split(/\s+/u).filter((part) => part !== '');
}
