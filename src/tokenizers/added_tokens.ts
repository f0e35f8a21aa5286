import {
  type AddedTokenJson,
  invalidTokenizer,
  type ModelJson,
  pieceId,
  type TokenizerJson,
} from './tokenizer_json.js';

/** What lies beside a tokenizer and may name tokens that it lacks; parsed, {} where there is no such file. */
export interface TokenizerCompanions {
  /** tokenizer_config.json */
  config: Readonly<Record<string, unknown>>;
  /** special_tokens_map.json */
  specialTokensMap: Readonly<Record<string, unknown>>;
  /** added_tokens.json: token -> id. */
  addedTokens: Readonly<Record<string, unknown>>;
}

type NewToken = Omit<AddedTokenJson, 'id'>;

/** transformers' SPECIAL_TOKENS_ATTRIBUTES: it adds in this order, then tokens that models name besides. */
const NAMES = ['bos_token', 'eos_token', 'unk_token', 'sep_token', 'pad_token', 'cls_token', 'mask_token'];

/**
 * Adds the tokens that only the files beside a tokenizer name, as transformers does; true if there were any. Throws
 * TOKENIZER_INVALID for a token whose id would not be the one that the files say.
 */
export function addTokensBeside(
  json: TokenizerJson,
  { config, specialTokensMap, addedTokens }: TokenizerCompanions,
  path: string,
): boolean {
  // Since tokenizer_config.json has its own list, the older files count only without it.
  const decoder = typeof config.added_tokens_decoder === 'object' ? config.added_tokens_decoder : null;
  const named = decoder ? config : { ...config, ...specialTokensMap };
  const special = specialTokensOf(named);
  // transformers 5 does not ask special_tokens_map.json's additional_special_tokens whether one is special.
  const numbered = decoder
    ? numberedTokens(decoder)
    : fileTokens(
        addedTokens,
        specialTokensOf({ ...named, additional_special_tokens: config.additional_special_tokens }),
      );
  const known = new Set(json.added_tokens?.map(({ content }) => content));
  const all = [...(json.added_tokens ?? [])];
  const before = all.length;
  // As the tokenizers library numbers what has no piece.
  let next = all.reduce((most, { id }) => Math.max(most, id + 1), pieceCount(json.model));
  for (const [id, token] of [...numbered, ...special.map((each) => [undefined, each] as const)]) {
    if (known.has(token.content) || token.content === '') continue;
    known.add(token.content);
    const added = { id: pieceId(json.model, token.content) ?? next, ...token };
    if (id !== undefined && id !== added.id) {
      const name = JSON.stringify(token.content.slice(0, 80));
      throw invalidTokenizer(
        path,
        `the added token ${name} with the id ${id}`,
        `none, and ${added.id} as its id`,
      );
    }
    all.push(added);
    next = Math.max(next, added.id + 1);
  }
  if (all.length > before) json.added_tokens = all;
  return all.length > before;
}

/** added_tokens_decoder: id -> token. */
function numberedTokens(decoder: object): [number, NewToken][] {
  return Object.entries(decoder)
    .flatMap(([id, value]): [number, NewToken][] => {
      const token = tokenOf(value, false);
      return token ? [[Number(id), token]] : [];
    })
    .sort(([a], [b]) => a - b);
}

function fileTokens(
  ids: Readonly<Record<string, unknown>>,
  special: readonly NewToken[],
): [number, NewToken][] {
  const isSpecial = new Set(special.map(({ content }) => content));
  return Object.entries(ids)
    .map(([content, id]): [number, NewToken] => [Number(id), newToken({ content }, isSpecial.has(content))])
    .sort(([a], [b]) => a - b);
}

function specialTokensOf(named: Readonly<Record<string, unknown>>): NewToken[] {
  const others = Object.keys(named).filter((name) => name.endsWith('_token') && !NAMES.includes(name));
  const extra = named.extra_special_tokens ?? named.additional_special_tokens;
  const values = [...NAMES, ...others].map((name) => named[name]);
  const more = typeof extra === 'object' && extra !== null ? Object.values(extra) : [];
  return [...values, ...more].flatMap((value) => tokenOf(value, true) ?? []);
}

/** A text, or an object with `content` and settings; undefined for anything else. */
function tokenOf(value: unknown, special: boolean): NewToken | undefined {
  if (typeof value === 'string') return newToken({ content: value }, special);
  const isToken = typeof (value as { content?: unknown } | null)?.content === 'string';
  return isToken ? newToken(value as { content: string }, special) : undefined;
}

function newToken(given: Partial<NewToken> & { content: string }, isSpecial: boolean): NewToken {
  const { content, single_word = false, lstrip = false, rstrip = false, special = isSpecial } = given;
  return { content, single_word, lstrip, rstrip, normalized: given.normalized ?? !special, special };
}

function pieceCount({ vocab }: ModelJson): number {
  return Array.isArray(vocab) ? vocab.length : Object.keys(vocab).length;
}
