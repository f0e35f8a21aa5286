/** arXiv 2408.10536, XQuAD-R: mAP within a language, across languages, over the common pool; rank distance. */
export const PAPER = {
  'XLM-R': {
    monolingual: [0.792, 0.674, 0.547, 410],
    cross_lingual: [0.755, 0.7, 0.593, 295],
    hybrid_50: [0.798, 0.705, 0.593, 287],
  },
  LaBSE: {
    monolingual: [0.808, 0.752, 0.652, 262],
    cross_lingual: [0.801, 0.762, 0.679, 225],
    hybrid_50: [0.817, 0.767, 0.682, 221],
  },
};

export const PAPER_MEASURES = ['monolingual_map', 'cross_lingual_map', 'multilingual_map', 'language_bias'];

/** What the paper found with both encoders: the first regime is better than the second. */
export const FINDINGS = [
  {
    says: 'cross-lingual batches beat monolingual ones across languages',
    measure: 1,
    better: 'cross_lingual',
    worse: 'monolingual',
  },
  {
    says: 'monolingual batches beat cross-lingual ones within a language',
    measure: 0,
    better: 'monolingual',
    worse: 'cross_lingual',
  },
  {
    says: 'hybrid is no worse than monolingual within a language',
    measure: 0,
    better: 'hybrid_50',
    worse: 'monolingual',
  },
  {
    says: 'hybrid beats cross-lingual within a language',
    measure: 0,
    better: 'hybrid_50',
    worse: 'cross_lingual',
  },
  {
    says: 'hybrid beats monolingual across languages',
    measure: 1,
    better: 'hybrid_50',
    worse: 'monolingual',
  },
  {
    says: 'hybrid is no worse than cross-lingual across languages',
    measure: 1,
    better: 'hybrid_50',
    worse: 'cross_lingual',
  },
  {
    says: 'hybrid beats monolingual in the common pool',
    measure: 2,
    better: 'hybrid_50',
    worse: 'monolingual',
  },
  {
    says: 'hybrid has less language bias than monolingual',
    measure: 3,
    better: 'hybrid_50',
    worse: 'monolingual',
  },
  {
    says: 'hybrid has no more language bias than cross-lingual',
    measure: 3,
    better: 'hybrid_50',
    worse: 'cross_lingual',
  },
];
