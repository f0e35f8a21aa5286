import { invalidSentencePiece } from '../sentence_piece.js';

const headerBytes = 4;

/**
 * SentencePiece's character map: the longest sequence of characters that the map knows, from each place on, becomes
 * what the map says (the tokenizers library looks up whole grapheme clusters instead, which differs where combining
 * marks pile up). The form is that of NormalizerSpec.precompiled_charsmap: bytes of a double-array trie
 * (https://github.com/s-yata/darts-clone), the trie over UTF-8, texts ended by zero bytes.
 */
export class CharacterMap {
  readonly #units: Uint32Array;
  readonly #texts: Buffer;

  /** Throws TOKENIZER_INVALID when the trie does not fit into the bytes. */
  constructor(bytes: Uint8Array, path: string) {
    const trieBytes =
      bytes.length < headerBytes ? -1 : new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
    if (trieBytes < 4 || trieBytes % 4 !== 0 || trieBytes > bytes.length - headerBytes) {
      throw invalidSentencePiece(path, 'a character map', `${bytes.length} bytes that are none`);
    }
    const end = headerBytes + trieBytes;
    this.#units = new Uint32Array(new Uint8Array(bytes.subarray(headerBytes, end)).buffer);
    this.#texts = Buffer.from(bytes.subarray(end));
  }

  apply(text: string): string {
    const bytes = Buffer.from(text);
    const parts: Buffer[] = [];
    let [kept, at] = [0, 0];
    while (at < bytes.length) {
      const match = this.#longest(bytes, at);
      if (match) {
        parts.push(bytes.subarray(kept, at), this.#textAt(match.value));
        kept = at + match.length;
      }
      at += match?.length ?? characterBytes(bytes[at]!);
    }
    return Buffer.concat([...parts, bytes.subarray(kept)]).toString();
  }

  #longest(bytes: Buffer, from: number): { value: number; length: number } | undefined {
    let found: { value: number; length: number } | undefined;
    let node = childrenOf(this.#units[0]!);
    for (let at = from; at < bytes.length; at++) {
      node ^= bytes[at]!;
      const unit = this.#units[node] ?? 0;
      // The top bit marks a value, which is no child.
      if ((unit & 0x800000ff) !== bytes[at]) break;
      node ^= childrenOf(unit);
      if (unit & 0x100) found = { value: (this.#units[node] ?? 0) & 0x7fffffff, length: at + 1 - from };
    }
    return found;
  }

  #textAt(offset: number): Buffer {
    const end = this.#texts.indexOf(0, offset);
    return this.#texts.subarray(offset, end < 0 ? this.#texts.length : end);
  }
}

/** Bits 10 to 31, shifted by 8 more where bit 9 is set. */
export function childrenOf(unit: number): number {
  return ((unit >>> 10) << ((unit & 0x200) >>> 6)) >>> 0;
}

function characterBytes(first: number): number {
  return first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}
