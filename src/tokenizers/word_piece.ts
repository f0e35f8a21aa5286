import { XlembedError } from '../errors.js';
import type { AddedTokenJson, TokenizerJson } from './tokenizer_json.js';

/** What tokenizer_config.json says about a BERT vocabulary; a special token may be an object with `content`. */
export interface WordPieceConfig {
  do_lower_case?: boolean;
  strip_accents?: boolean | null;
  tokenize_chinese_chars?: boolean;
  unk_token?: string | { content: string };
  sep_token?: string | { content: string };
  pad_token?: string | { content: string };
  cls_token?: string | { content: string };
  mask_token?: string | { content: string };
}

/**
 * BERT's pipeline over a vocab.txt, one piece a line, its id the line number from 0: BertNormalizer,
 * BertPreTokenizer, WordPiece, `[CLS] $A [SEP]`. Defaults are those of transformers' BertTokenizer. Throws
 * TOKENIZER_INVALID.
 */
export function wordPieceTokenizer(vocabulary: string, config: WordPieceConfig, path: string): TokenizerJson {
  const ids = new Map(pieces(vocabulary).map((piece, id) => [piece, id]));
  const special = {
    unk: content(config.unk_token, '[UNK]'),
    sep: content(config.sep_token, '[SEP]'),
    pad: content(config.pad_token, '[PAD]'),
    cls: content(config.cls_token, '[CLS]'),
    mask: content(config.mask_token, '[MASK]'),
  };
  for (const token of [special.unk, special.sep, special.pad, special.cls]) requirePiece(ids, token, path);
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: addedTokens(ids, Object.values(special)),
    normalizer: {
      type: 'BertNormalizer',
      clean_text: true,
      ...bertSettings(config),
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: template(special.cls, special.sep, ids),
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      type: 'WordPiece',
      unk_token: special.unk,
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(ids),
    },
  };
}

/**
 * Gives a tokenizer.json's normaliser what the config says of it, as transformers' BertTokenizer does: of what the config
 * passes over its own defaults hold, not what the file says. True if that changed anything.
 */
export function configureBert(json: TokenizerJson, config: WordPieceConfig): boolean {
  if (!isBertPipeline(json)) return false;
  const normalizer = json.normalizer!;
  const before = { ...normalizer };
  Object.assign(normalizer, bertSettings(config));
  return Object.entries(normalizer).some(([setting, value]) => value !== before[setting]);
}

/** A WordPiece model behind BERT's normaliser. */
export function isBertPipeline({ model, normalizer }: TokenizerJson): boolean {
  return model.type === 'WordPiece' && normalizer?.type === 'BertNormalizer';
}

function bertSettings(config: WordPieceConfig) {
  return {
    handle_chinese_chars: config.tokenize_chinese_chars ?? true,
    strip_accents: config.strip_accents ?? null,
    lowercase: config.do_lower_case ?? true,
  };
}

/** Pieces may hold any other white space: lines end with LF (or CRLF) alone. */
function pieces(vocabulary: string): string[] {
  const lines = vocabulary.split('\n').map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line));
  if (lines.at(-1) === '') lines.pop();
  return lines;
}

function content(token: string | { content: string } | undefined, usual: string): string {
  return typeof token === 'object' && token !== null ? token.content : (token ?? usual);
}

function requirePiece(ids: ReadonlyMap<string, number>, token: string, path: string): void {
  if (ids.has(token)) return;
  throw new XlembedError(
    'TOKENIZER_INVALID',
    `expected the piece ${token} in ${path}, received ${ids.size} pieces without it`,
    'is this a BERT vocabulary? tokenizer_config.json may name other special tokens',
  );
}

function addedTokens(ids: ReadonlyMap<string, number>, tokens: readonly string[]): AddedTokenJson[] {
  return tokens
    .filter((token) => ids.has(token))
    .map((token) => specialToken(ids.get(token)!, token))
    .sort((a, b) => a.id - b.id);
}

export function specialToken(id: number, content: string, lstrip = false): AddedTokenJson {
  return { id, content, single_word: false, lstrip, rstrip: false, normalized: false, special: true };
}

function template(cls: string, sep: string, ids: ReadonlyMap<string, number>): unknown {
  const special = (id: string, type_id: number) => ({ SpecialToken: { id, type_id } });
  const sequence = (id: string, type_id: number) => ({ Sequence: { id, type_id } });
  const named = (token: string) => [token, { id: token, ids: [ids.get(token)!], tokens: [token] }] as const;
  return {
    type: 'TemplateProcessing',
    single: [special(cls, 0), sequence('A', 0), special(sep, 0)],
    pair: [special(cls, 0), sequence('A', 0), special(sep, 0), sequence('B', 1), special(sep, 1)],
    special_tokens: Object.fromEntries([named(cls), named(sep)]),
  };
}
