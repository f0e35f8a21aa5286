/** A score of 0..1: three digits, as papers print them. */
export const score = (value: number) => value.toFixed(3);

/** A difference of scores, with its sign; nothing that rounds to zero has one. */
export function signedScore(value: number): string {
  const text = score(Math.abs(value));
  return Number(text) === 0 ? text : `${value < 0 ? '−' : '+'}${text}`;
}

/** A number of ranks, or of anything else that may be large. */
export const amount = (value: number) => (Math.abs(value) < 100 ? value.toFixed(1) : value.toFixed(0));

/** Three digits that count, never a power of ten: `0.0123`, `1.23`, `40,500`. */
export function threeDigits(value: number): string {
  const rounded = Number(value.toPrecision(3));
  return rounded < 1000 ? value.toPrecision(3) : rounded.toLocaleString('en');
}

/** Three digits and the unit that suits: `12.3 µs`, `4.56 ms`. */
export function secondsText(seconds: number): string {
  const units = [
    ['s', 1],
    ['ms', 1e-3],
    ['µs', 1e-6],
  ] as const;
  const [unit, size] = units.find(([, size]) => Number(seconds.toPrecision(3)) >= size) ?? units[2];
  return `${threeDigits(seconds / size)} ${unit}`;
}

export function duration(seconds: number): string {
  if (!(seconds >= 0)) return '–';
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** `cross_lingual` as a heading: "Cross-lingual". */
export function words(name: string): string {
  const spaced = name.replace(/cross_lingual/g, 'cross-lingual').replace(/_/g, ' ');
  return spaced.charAt(0).toUpperCase() + spaced.slice(1);
}

/** English name of a language tag; the tag itself where none is known. */
export function languageName(tag: string): string {
  try {
    return new Intl.DisplayNames(['en'], { type: 'language' }).of(tag) ?? tag;
  } catch {
    return tag;
  }
}

/** At most `limit` characters, never half of one. */
export function clip(text: string, limit: number): string {
  const characters = [...text];
  return characters.length <= limit
    ? text
    : `${characters
        .slice(0, limit - 1)
        .join('')
        .trimEnd()}…`;
}

/** "a", "a and b", "a, b and c". */
export function list(items: readonly string[]): string {
  return items.length < 2 ? items.join('') : `${items.slice(0, -1).join(', ')} and ${items.at(-1)}`;
}
