/**
 * Depth beyond which a parsed file is refused: none in use comes near it, JSON.parse takes any, and what walks the
 * value afterwards (JSON.stringify) would overflow the stack.
 */
export const MAX_NESTING = 64;

/** Whether lists and objects stand in one another more than MAX_NESTING deep. */
export function isNestedTooDeeply(value: unknown, left = MAX_NESTING): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return left === 0 || Object.values(value).some((inner) => isNestedTooDeeply(inner, left - 1));
}
