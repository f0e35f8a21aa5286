import { isUtf8 } from 'node:buffer';
import { childrenOf } from './laser/character_map.js';

/**
 * Whether every look-up in a precompiled_charsmap stays inside of it: its trie leads to no unit beyond the last one, and
 * its values to the beginning of a character. The form is told in laser/character_map.ts.
 */
export function isSoundCharacterMap(bytes: Buffer): boolean {
  const trieBytes = bytes.length < 4 ? 0 : bytes.readUInt32LE(0);
  if (trieBytes < 4 || trieBytes % 4 !== 0 || trieBytes > bytes.length - 4) return false;
  const units = new Uint32Array(new Uint8Array(bytes.subarray(4, 4 + trieBytes)).buffer);
  const texts = bytes.subarray(4 + trieBytes);
  return isUtf8(texts) && areValuesSound(units, texts);
}

function areValuesSound(units: Uint32Array, texts: Buffer): boolean {
  const root = childrenOf(units[0]!);
  const found = new Set([root]);
  // A set gives what is added while it is walked.
  for (const node of found) {
    if ((node | 0xff) >= units.length) return false;
    for (let byte = 1; byte <= 0xff; byte++) {
      const at = node ^ byte;
      const unit = units[at]!;
      if ((unit & 0x800000ff) !== byte) continue;
      const next = (at ^ childrenOf(unit)) >>> 0;
      if (unit & 0x100 && !beginsText(units[next], texts)) return false;
      found.add(next);
    }
  }
  return true;
}

function beginsText(unit: number | undefined, texts: Buffer): boolean {
  if (unit === undefined) return false;
  const at = unit & 0x7fffffff;
  return at <= texts.length && ((texts[at] ?? 0) & 0xc0) !== 0x80;
}
