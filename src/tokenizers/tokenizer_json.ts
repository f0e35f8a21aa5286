import { XlembedError } from '../errors.js';

/** What this project reads of a tokenizer.json; the rest is for the tokenizers library. */
export interface TokenizerJson {
  version?: string;
  truncation?: unknown;
  padding?: { pad_id?: number } | null;
  added_tokens?: AddedTokenJson[];
  normalizer?: StageJson | null;
  pre_tokenizer?: StageJson | null;
  post_processor?: unknown;
  decoder?: unknown;
  model: ModelJson;
}

export interface AddedTokenJson {
  id: number;
  content: string;
  single_word: boolean;
  lstrip: boolean;
  rstrip: boolean;
  normalized: boolean;
  special: boolean;
}

/** A normaliser or pre-tokeniser; a Sequence holds several. */
export interface StageJson {
  type: string;
  [setting: string]: unknown;
}

export interface ModelJson {
  type?: string;
  /** Unigram: [piece, score] by id; the other models: piece -> id. */
  vocab: [string, number][] | Record<string, number>;
  unk_id?: number | null;
  unk_token?: string | null;
  [setting: string]: unknown;
}

/** What users of a tokenizer need to know before they have a text. */
export interface TokenizerInfo {
  /** Unigram, WordPiece, BPE or WordLevel. */
  modelType: string;
  /** One more than the largest id, added tokens included. */
  vocabularySize: number;
  padId: number | undefined;
  unkId: number | undefined;
  /** True when the second text of a pair has token type 1 (BERT, not XLM-R). */
  hasTokenTypes: boolean;
}

const modelTypes = ['Unigram', 'WordPiece', 'BPE', 'WordLevel'];

/** Parses and checks a tokenizer.json. Throws TOKENIZER_INVALID, naming `path`. */
export function parseTokenizerJson(text: string, path: string): TokenizerJson {
  const json = parseJson(text, path);
  const model = (json as { model?: unknown } | null)?.model;
  if (typeof model !== 'object' || model === null) throw invalid(path, 'a model', typeof model);
  const { type = 'BPE', vocab } = model as Partial<ModelJson>;
  if (!modelTypes.includes(type))
    throw invalid(path, `a model of type ${modelTypes.join(', ')}`, JSON.stringify(type));
  if (typeof vocab !== 'object' || vocab === null) throw invalid(path, 'model.vocab', typeof vocab);
  if (Array.isArray(vocab) !== (type === 'Unigram')) {
    throw invalid(path, `a model.vocab that fits ${type}`, Array.isArray(vocab) ? 'a list' : 'a table');
  }
  return json as TokenizerJson;
}

export function describeTokenizer(json: TokenizerJson): TokenizerInfo {
  const { model, added_tokens: added = [], padding } = json;
  const idOf = (piece: string) => added.find(({ content }) => content === piece)?.id ?? pieceId(model, piece);
  return {
    modelType: model.type ?? 'BPE',
    vocabularySize: Math.max(pieceIds(model), ...added.map(({ id }) => id + 1)),
    padId: padding?.pad_id ?? idOf('<pad>') ?? idOf('[PAD]'),
    unkId: model.unk_id ?? (model.unk_token ? idOf(model.unk_token) : undefined),
    hasTokenTypes: /"type_id":1\b|"BertProcessing"/.test(JSON.stringify(json.post_processor ?? null)),
  };
}

/** One more than the largest id of the model's own pieces. */
function pieceIds({ vocab }: ModelJson): number {
  if (Array.isArray(vocab)) return vocab.length;
  let size = 0;
  for (const id of Object.values(vocab)) if (id >= size) size = id + 1;
  return size;
}

function pieceId({ vocab }: ModelJson, piece: string): number | undefined {
  if (!Array.isArray(vocab)) return Object.hasOwn(vocab, piece) ? vocab[piece] : undefined;
  const id = vocab.findIndex(([content]) => content === piece);
  return id < 0 ? undefined : id;
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw invalid(path, 'JSON', (cause as Error).message);
  }
}

function invalid(path: string, expected: string, received: string): XlembedError {
  return new XlembedError(
    'TOKENIZER_INVALID',
    `expected ${expected} in ${path}, received ${received}`,
    'pass a tokenizer.json of the tokenizers library, or the folder that holds it',
  );
}
