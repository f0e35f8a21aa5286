import { XlembedError } from '../errors.js';
import { isNestedTooDeeply, MAX_NESTING } from '../json_depth.js';

/** What this project reads of a tokenizer.json; the rest is for the tokenizers library. */
export interface TokenizerJson {
  version?: string;
  truncation?: { direction?: unknown } | null;
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
  /** Files of 2020 do not say; parseTokenizerJson does then. */
  type: string;
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
  if (isNestedTooDeeply(json)) throw invalidTokenizer(path, `at most ${MAX_NESTING} levels`, 'more of them');
  const model = (json as { model?: unknown } | null)?.model;
  if (typeof model !== 'object' || model === null) throw invalidTokenizer(path, 'a model', typeof model);
  const { type = unnamedType(model), vocab } = model as Partial<ModelJson>;
  if (!modelTypes.includes(type))
    throw invalidTokenizer(path, `a model of type ${modelTypes.join(', ')}`, JSON.stringify(type));
  if (typeof vocab !== 'object' || vocab === null) throw invalidTokenizer(path, 'model.vocab', typeof vocab);
  if (Array.isArray(vocab) !== (type === 'Unigram')) {
    throw invalidTokenizer(
      path,
      `a model.vocab that fits ${type}`,
      Array.isArray(vocab) ? 'a list' : 'a table',
    );
  }
  checkLists(json as TokenizerJson, path);
  return { ...(json as TokenizerJson), model: { ...(model as ModelJson), type } };
}

/** As the tokenizers library tells models without a type. */
function unnamedType(model: object): string {
  if (Array.isArray((model as Partial<ModelJson>).vocab)) return 'Unigram';
  if ('merges' in model) return 'BPE';
  return 'continuing_subword_prefix' in model && 'max_input_chars_per_word' in model
    ? 'WordPiece'
    : 'WordLevel';
}

/** The lists that are walked before the library has seen the file. */
function checkLists({ added_tokens: added = [], model }: TokenizerJson, path: string): void {
  const isObject = (value: unknown) => typeof value === 'object' && value !== null;
  if (!Array.isArray(added) || !added.every(isObject))
    throw invalidTokenizer(path, 'a list of objects for added_tokens', typeof added);
  if (Array.isArray(model.vocab) && !model.vocab.every(Array.isArray))
    throw invalidTokenizer(path, 'pairs in model.vocab', 'something else');
}

export function describeTokenizer(json: TokenizerJson): TokenizerInfo {
  const { model, added_tokens: added = [], padding } = json;
  const idOf = (piece: string) => added.find(({ content }) => content === piece)?.id ?? pieceId(model, piece);
  return {
    modelType: model.type,
    vocabularySize: added.reduce((size, { id }) => Math.max(size, id + 1), pieceIds(model)),
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

export function pieceId({ vocab }: ModelJson, piece: string): number | undefined {
  if (!Array.isArray(vocab)) return Object.hasOwn(vocab, piece) ? vocab[piece] : undefined;
  const id = vocab.findIndex(([content]) => content === piece);
  return id < 0 ? undefined : id;
}

/** A stage, or the members of a sequence of them. */
export function stagesOf(stage: unknown, members: string): StageJson[] {
  if (typeof stage !== 'object' || stage === null) return [];
  const inner = (stage as StageJson)[members];
  const { type } = stage as StageJson;
  if (type === 'Sequence' && Array.isArray(inner)) return inner.flatMap((each) => stagesOf(each, members));
  return [stage as StageJson];
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw invalidTokenizer(path, 'JSON', (cause as Error).message);
  }
}

export function invalidTokenizer(path: string, expected: string, received: string): XlembedError {
  return new XlembedError(
    'TOKENIZER_INVALID',
    `expected ${expected} in ${path}, received ${received}`,
    'pass a tokenizer.json of the tokenizers library, or the folder that holds it',
  );
}
