import { words } from './format.js';

/** What the kinds of text that come with the package are called; others go by their own name. */
const KNOWN: Record<string, { name: string; title: string }> = {
  cldr: { name: 'CLDR', title: 'CLDR: names and keywords of symbols' },
  udhr: { name: 'UDHR', title: 'UDHR: articles of the Universal Declaration of Human Rights' },
};

const known = (kind: string) => (Object.hasOwn(KNOWN, kind) ? KNOWN[kind] : undefined);

/** As it stands within a sentence. */
export const kindName = (kind: string) => known(kind)?.name ?? kind;

/** As a heading. */
export const kindTitle = (kind: string) => known(kind)?.title ?? words(kind);
