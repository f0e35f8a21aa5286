import type {
  EvaluationSummary,
  ExperimentResults,
  GridCell,
  RegimeResult,
} from '#xlembed/report/results.js';

export const TRAINED = ['ar', 'de', 'en', 'es', 'hi', 'ru', 'th', 'tr', 'zh'];
export const ZERO_SHOT = ['el', 'vi'];

/** Invented but plausible: same language above cross-lingual, zero-shot below trained. */
function sampleGrid(languages: string[], level: number, cross: number): GridCell[] {
  return languages.flatMap((queryLanguage, q) =>
    languages.map((passageLanguage, p) => {
      const unseen = [queryLanguage, passageLanguage].filter((language) =>
        ZERO_SHOT.includes(language),
      ).length;
      const map = level - (q === p ? 0 : cross) - 0.06 * unseen - 0.011 * ((q * 5 + p * 3) % 7);
      return { queryLanguage, passageLanguage, queries: 200, measures: { map: Math.max(0.004, map) } };
    }),
  );
}

export function sampleEvaluation(
  level: number,
  cross: number,
  bias: number,
  languages?: string[],
): EvaluationSummary {
  return {
    measures: {
      monolingual_map: level,
      cross_lingual_map: level - cross,
      multilingual_map: level - 1.4 * cross,
      monolingual_recall_at_1: level - 0.1,
      cross_lingual_recall_at_1: 0.8 * (level - cross),
      multilingual_recall_at_10: level + 0.05 - cross,
      language_bias: bias,
    },
    grid: sampleGrid(languages ?? [...TRAINED, ...ZERO_SHOT], level, cross),
  };
}

/** A falling loss with the scatter of single batches, from a fixed formula. */
export function sampleCurve(steps: number, end: number) {
  return Array.from({ length: steps }, (_, i) => {
    const scatter = Math.sin(i * 12.9898) * 0.35;
    const loss = end + (4.6 - end) * Math.exp(-i / (steps / 6)) + scatter * (0.3 + Math.exp(-i / steps));
    return { step: i + 1, loss: Math.max(0.01, loss), accuracy: Math.min(1, Math.max(0, 1 - loss / 4.7)) };
  });
}

type Kinds = RegimeResult['evaluations'];

function regime(name: string, alpha: number | null, end: number, evaluations: Kinds): RegimeResult {
  if (name === 'untrained') {
    return { name, sampler: null, alpha: null, steps: 0, lossCurve: [], trainSeconds: 0, evaluations };
  }
  return {
    name,
    sampler: name,
    alpha,
    steps: 600,
    lossCurve: sampleCurve(600, end),
    trainSeconds: 431.7,
    evaluations,
  };
}

const passages = [
  {
    text: 'Everyone has the right to education. Education shall be free, at least in the elementary stages.',
    language: 'en',
    score: 0.8123,
    correct: true,
  },
  {
    text: 'لكل شخص الحق في التعلم، ويجب أن يكون التعليم في مراحله الأولى والأساسية على الأقل بالمجان.',
    language: 'ar',
    score: 0.7911,
    correct: true,
  },
  {
    text: '人人都有受教育的权利，教育应当免费，至少在初级和基本阶段应如此。',
    language: 'zh',
    score: 0.7406,
    correct: true,
  },
  {
    text: 'Jeder hat das Recht, am kulturellen Leben der Gemeinschaft frei teilzunehmen.',
    language: 'de',
    score: 0.6102,
    correct: false,
  },
  { text: 'प्रत्येक व्यक्ति को शिक्षा का अधिकार है ।', language: 'hi', score: 0.5533, correct: true },
];

export function sampleResults(): ExperimentResults {
  const chance = {
    monolingual_map: 0.0311,
    cross_lingual_map: 0.0311,
    multilingual_map: 0.0298,
    language_bias: 1834.2,
  };
  return {
    title: 'Hybrid batches, from random weights',
    createdAt: '2026-01-31T12:34:56.000Z',
    command: 'npx xlembed demo --seed 1 --steps 600 --output results',
    settings: {
      batchSize: 100,
      temperature: 0.05,
      learningRate: 5e-4,
      seed: 1,
      languageWeights: { temperature: 2 },
      prompts: ['Query: ', 'Passage: '],
      commit: undefined,
    },
    versions: {
      xlembed: '0.1.0',
      node: '20.20.2',
      libtorch: '2.13.0',
      processor: 'AMD EPYC, 16 threads, AVX512',
    },
    times: { 'reading data': 2.31, training: 1295.1, evaluation: 91.4, 'all together': 8125 },
    languages: { trained: TRAINED, zeroShot: ZERO_SHOT },
    chance: { cldr: chance, udhr: { ...chance, language_bias: 141.5 } },
    regimes: [
      regime('untrained', null, 0, {
        cldr: sampleEvaluation(0.172, 0.09, 1512),
        udhr: sampleEvaluation(0.31, 0.16, 96),
      }),
      regime('monolingual', null, 0.4, {
        cldr: sampleEvaluation(0.792, 0.118, 410),
        udhr: sampleEvaluation(0.71, 0.2, 61.25),
      }),
      regime('cross_lingual', null, 0.7, {
        cldr: sampleEvaluation(0.755, 0.055, 295),
        udhr: sampleEvaluation(0.69, 0.1, 40.5),
      }),
      regime('hybrid', 0.5, 0.5, {
        cldr: sampleEvaluation(0.798, 0.093, 287),
        udhr: sampleEvaluation(0.74, 0.12, 38.75),
      }),
    ],
    examples: [
      ...['untrained', 'monolingual', 'hybrid'].map((name, i) => ({
        query: 'Wer darf zur Schule gehen?',
        queryLanguage: 'de',
        regime: name,
        results: [...passages.slice(3 - i), ...passages.slice(0, 3 - i)],
      })),
      { query: 'من له الحق في التعليم؟', queryLanguage: 'ar', results: passages },
    ],
  };
}
