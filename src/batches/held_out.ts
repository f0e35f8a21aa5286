import type { ParallelRecord } from '../datasets/records.js';

/** BCP 47's own spelling of a tag (`eng_Latn` -> `en-Latn`); the tag itself where it has none. */
export function canonicalLanguage(tag: string): string {
  try {
    return Intl.getCanonicalLocales(tag.replaceAll('_', '-'))[0] ?? tag;
  } catch {
    return tag;
  }
}

/** Whether holding out `names` holds out `language`: `el` covers `ell`, `el-GR` and `ell_Grek`. */
export function isHeldOut(language: string, names: readonly string[]): boolean {
  const canonical = canonicalLanguage(language);
  return names.map(canonicalLanguage).some((name) => canonical === name || canonical.startsWith(`${name}-`));
}

/** What to say of names that hold nothing out, neither of the records nor of `others`: they may be misspelt. */
export function heldOutNotes(
  names: readonly string[],
  records: readonly ParallelRecord[],
  others: readonly string[] = [],
): string[] {
  if (names.length === 0) return [];
  const known = [...new Set([...Object.keys(countTexts(records, () => true)), ...others])].sort();
  return names
    .filter((name) => !known.some((language) => isHeldOut(language, [name])))
    .map((name) => `nothing is in ${name}, which is held out: the data has ${known.join(', ')}`);
}

/** Language -> texts in it (queries, positives, negatives), for the languages that `held` names. */
export function countTexts(
  records: readonly ParallelRecord[],
  held: (language: string) => boolean,
): Record<string, number> {
  const counts = new Map<string, number>();
  const add = (language: string, texts: number) => counts.set(language, (counts.get(language) ?? 0) + texts);
  for (const { query, positive, negatives = {} } of records) {
    for (const language of Object.keys(query)) add(language, 1);
    for (const language of Object.keys(positive)) add(language, 1);
    for (const [language, texts] of Object.entries(negatives)) add(language, texts.length);
  }
  const kept = [...counts].filter(([language]) => held(language));
  return Object.fromEntries(kept.sort(([a], [b]) => (a < b ? -1 : 1)));
}
