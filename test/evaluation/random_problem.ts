import type { GridInput, GridLanguage } from '#xlembed/evaluation/grid.js';

export const problemShape = { dimensions: 4, languages: ['de', 'en', 'th'] };
const { dimensions, languages } = problemShape;

/** Small whole numbers in few dimensions: products are exact and ties are everywhere. */
export function problem(seed: number): GridInput {
  let state = seed;
  const below = (bound: number) => {
    state = (state * 48271) % 2147483647;
    return state % bound;
  };
  const texts = (prefix: string, count: number) => ({
    ids: Array.from({ length: count }, (_, i) => `${prefix}${i}`),
    embeddings: Float32Array.from({ length: count * dimensions }, () => below(3) - 1),
  });
  const qrels = new Map<string, Map<string, number>>();
  const parts = languages.map((language, number): GridLanguage => {
    const candidates = texts(`${language}-`, 30 + 7 * number);
    for (let q = 0; q < 12; q++) {
      if (language === 'th' && q > 7) continue;
      const grades = qrels.get(`q${q}`) ?? new Map<string, number>();
      // Judged, and not relevant.
      grades.set(candidates.ids[(7 * q) % 30]!, 0);
      grades.set(candidates.ids[below(30)]!, 1 + below(2));
      qrels.set(`q${q}`, grades);
    }
    return { language, queries: texts('q', 12), candidates };
  });
  return { task: 'random', dimensions, languages: parts, qrels };
}
