/** Depth beyond which a header is refused rather than handed to JSON.parse. */
const MAX_JSON_DEPTH = 16;

export type JsonKeyProblem = { problem: 'duplicate'; key: string } | { problem: 'depth' };

/**
 * Finds what JSON.parse hides: an object that names a key twice (the last one would win), and nesting beyond
 * MAX_JSON_DEPTH. Two spellings of one key ("a", "\u0061") are the same key. Text that is not JSON gives
 * nothing: JSON.parse will say so.
 */
export function findKeyProblem(text: string): JsonKeyProblem | undefined {
  // One entry per open bracket: the keys seen so far, or null in an array.
  const open: (Set<string> | null)[] = [];
  let expectsKey = false;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === '{' || character === '[') {
      if (open.length === MAX_JSON_DEPTH) return { problem: 'depth' };
      open.push(character === '{' ? new Set() : null);
      expectsKey = character === '{';
    } else if (character === '}' || character === ']') {
      open.pop();
      expectsKey = false;
    } else if (character === ',') {
      expectsKey = open.at(-1) instanceof Set;
    } else if (character === '"') {
      const end = stringEnd(text, at);
      if (expectsKey) {
        const key = decodeString(text.slice(at, end));
        const keys = open.at(-1);
        if (keys?.has(key)) return { problem: 'duplicate', key };
        keys?.add(key);
        expectsKey = false;
      }
      at = end - 1;
    }
  }
  return undefined;
}

/** Position after the closing quote of the string that opens at `start`. */
function stringEnd(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === '"') return at + 1;
  }
  return text.length;
}

function decodeString(quoted: string): string {
  try {
    return JSON.parse(quoted) as string;
  } catch {
    return quoted;
  }
}
