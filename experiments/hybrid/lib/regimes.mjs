import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { TRAINED, ZERO_SHOT } from './languages.mjs';

/** Every regime starts from the same weights and takes the same number of steps and pairs; in the order of the runs. */
export const REGIMES = {
  monolingual: { sampler: 'monolingual' },
  cross_lingual: { sampler: 'cross_lingual' },
  hybrid_50: { sampler: 'hybrid', alpha: 0.5 },
  // All pairs within a language, concatenated and shuffled: a batch has as many languages as chance gives it.
  shuffled: { sampler: 'monolingual', shuffled: true },
  code_switching: { sampler: 'hybrid', alpha: 0.5, switched: true },
  hybrid_25: { sampler: 'hybrid', alpha: 0.25 },
  hybrid_75: { sampler: 'hybrid', alpha: 0.75 },
};

/** Probability of a word that the lexicons have, as in arXiv 2305.05295. */
const SWITCHED = 0.5;

/** File of pairs, and Trainer's options, of a regime. */
export function regimeOptions(name, data) {
  const { shuffled, switched, ...sampler } = REGIMES[name];
  if (shuffled) return { pairs: join(data, 'shuffled.jsonl'), options: sampler };
  const pairs = join(data, 'pairs.jsonl');
  const held = { ...sampler, languages: TRAINED, holdOut: ZERO_SHOT };
  return { pairs, options: switched ? { ...held, codeSwitching: codeSwitching(data) } : held };
}

/** English words become words of the other training languages. */
function codeSwitching(data) {
  const lexicons = TRAINED.map((target) => ({
    source: 'en',
    target,
    path: join(data, 'lexicons', `en-${target}.tsv`),
  })).filter(({ path }) => existsSync(path));
  return {
    mode: 'multilingual',
    query: { probability: SWITCHED },
    passage: { probability: SWITCHED },
    lexicons,
  };
}
