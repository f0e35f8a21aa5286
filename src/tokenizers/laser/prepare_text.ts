import { normalizePunctuation } from './punctuation.js';

/** What LASER-2 does to a text before SentencePiece sees it. Control, format and unassigned characters become spaces. */
export function prepareLaserText(text: string): string {
  return normalizePunctuation(text.replace(/\p{C}/gu, ' ')).toLowerCase();
}
