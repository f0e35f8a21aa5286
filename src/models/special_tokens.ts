import { z } from 'zod';
import { parseFields } from './json_file.js';

/** transformers' names of special tokens -> the token's text. */
export type SpecialTokens = Partial<
  Record<
    'cls_token' | 'sep_token' | 'bos_token' | 'eos_token' | 'pad_token' | 'unk_token' | 'mask_token',
    string
  >
>;

const pair = z.tuple([z.string(), z.number()]);

// The parts of tokenizer.json that say which token plays which part.
const TOKENIZER = z.looseObject({
  added_tokens: z.array(z.looseObject({ content: z.string() })).nullish(),
  padding: z.looseObject({ pad_token: z.string() }).nullish(),
  post_processor: z
    .looseObject({
      cls: pair.optional(),
      sep: pair.optional(),
      single: z
        .array(z.looseObject({ SpecialToken: z.looseObject({ id: z.string() }).optional() }))
        .optional(),
    })
    .nullish(),
  model: z.looseObject({
    unk_token: z.string().nullish(),
    unk_id: z.int().nonnegative().nullish(),
    vocab: z.unknown(),
  }),
});

/** Reads the special tokens out of a parsed tokenizer.json. Throws TOKENIZER_INVALID. */
export function specialTokens(raw: unknown): SpecialTokens {
  const tokenizer = parseFields(TOKENIZER, raw, 'tokenizer.json', 'TOKENIZER_INVALID');
  const added = new Set(tokenizer.added_tokens?.map(({ content }) => content));
  const wellKnown = (...names: string[]) => names.find((name) => added.has(name));
  const frame = templateFrame(tokenizer.post_processor);
  const cls = frame.first ?? wellKnown('[CLS]', '<s>');
  const sep = frame.last ?? wellKnown('[SEP]', '</s>');
  const tokens = {
    bos_token: cls === '<s>' ? cls : wellKnown('<s>'),
    eos_token: sep === '</s>' ? sep : wellKnown('</s>'),
    unk_token: unknownToken(tokenizer.model) ?? wellKnown('[UNK]', '<unk>'),
    sep_token: sep,
    pad_token: tokenizer.padding?.pad_token ?? wellKnown('[PAD]', '<pad>'),
    cls_token: cls,
    mask_token: wellKnown('[MASK]', '<mask>'),
  };
  return Object.fromEntries(Object.entries(tokens).filter(([, token]) => token !== undefined));
}

/** The tokens that the post-processor puts before and after a text. */
function templateFrame(processor: z.infer<typeof TOKENIZER>['post_processor']): {
  first?: string;
  last?: string;
} {
  if (!processor) return {};
  const first = processor.cls?.[0] ?? processor.single?.at(0)?.SpecialToken?.id;
  const last = processor.sep?.[0] ?? processor.single?.at(-1)?.SpecialToken?.id;
  return { ...(first !== undefined && { first }), ...(last !== undefined && { last }) };
}

/** WordPiece and BPE name the token, Unigram gives its row in `vocab`. */
function unknownToken(model: z.infer<typeof TOKENIZER>['model']): string | undefined {
  if (model.unk_token) return model.unk_token;
  if (typeof model.unk_id !== 'number' || !Array.isArray(model.vocab)) return undefined;
  const row: unknown = model.vocab[model.unk_id];
  return Array.isArray(row) && typeof row[0] === 'string' ? row[0] : undefined;
}
