import type { AddedTokenJson } from './tokenizer_json.js';
import { specialToken } from './word_piece.js';

/** The first ids of every vocabulary in XLM-R's order; `<mask>` has the last one. */
export const leadingTokens = ['<s>', '<pad>', '</s>', '<unk>'];
export const maskToken = '<mask>';
export const unkId = leadingTokens.indexOf('<unk>');

export function addedTokens(maskId: number): AddedTokenJson[] {
  return [
    ...leadingTokens.map((token, id) => specialToken(id, token)),
    specialToken(maskId, maskToken, true),
  ];
}

/** `<s> $A </s>`, and `<s> $A </s> </s> $B </s>` for a pair. */
export function template(): unknown {
  const special = (id: string) => ({ SpecialToken: { id, type_id: 0 } });
  const sequence = (id: string) => ({ Sequence: { id, type_id: 0 } });
  const named = (token: string) =>
    [token, { id: token, ids: [leadingTokens.indexOf(token)], tokens: [token] }] as const;
  return {
    type: 'TemplateProcessing',
    single: [special('<s>'), sequence('A'), special('</s>')],
    pair: [special('<s>'), sequence('A'), special('</s>'), special('</s>'), sequence('B'), special('</s>')],
    special_tokens: Object.fromEntries([named('<s>'), named('</s>')]),
  };
}

export const metaspace = { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true };
