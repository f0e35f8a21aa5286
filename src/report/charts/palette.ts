/** Middle tones that stand out from white and from near-black alike, told apart also by colour-blind readers. */
const KNOWN: Record<string, string> = {
  untrained: '#7d8590',
  monolingual: '#d9730d',
  cross_lingual: '#2f81d6',
  hybrid: '#12996a',
};
/** Seven, which with four patterns make 28 lines of their own. */
const OTHERS = ['#b5539c', '#a3821a', '#6f6fd8', '#c4484b', '#1f9aa8', '#8a5a3c', '#6b8e23'];

export function regimeColors(names: readonly string[]): string[] {
  let next = 0;
  return names.map((name) => (Object.hasOwn(KNOWN, name) ? KNOWN[name]! : OTHERS[next++ % OTHERS.length]!));
}

/** Line patterns, so that lines differ without colour. */
export const dashes = (names: readonly string[]): number[][] =>
  names.map(
    (_, i) =>
      [
        [1, 0],
        [7, 3],
        [2, 2],
        [9, 3, 2, 3],
      ][i % 4]!,
  );

/** Viridis at five stops (van der Walt and Smith, matplotlib): even steps of lightness, low to high. */
export const RAMP = ['#440154', '#3b528b', '#21918c', '#5ec962', '#fde725'];
