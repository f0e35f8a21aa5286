import { z } from 'zod';
import type { PoolMode } from '../native.js';
import { parseFields, readJson } from './json_file.js';
import { unsupported } from './sentence_transformers.js';

/**
 * Our name, that of version 6 and the flag up to version 5, in the order in which flags are laid side by side; a list
 * of names has its own order.
 */
const SPELLINGS: [mode: PoolMode, name: string, flag: string][] = [
  ['first', 'cls', 'pooling_mode_cls_token'],
  ['max', 'max', 'pooling_mode_max_tokens'],
  ['mean', 'mean', 'pooling_mode_mean_tokens'],
  ['mean_sqrt_length', 'mean_sqrt_len_tokens', 'pooling_mode_mean_sqrt_len_tokens'],
  ['weighted_mean', 'weightedmean', 'pooling_mode_weightedmean_tokens'],
  ['last', 'lasttoken', 'pooling_mode_lasttoken'],
];

const POOLING = z.looseObject({
  pooling_mode: z.union([z.string(), z.array(z.string()).min(1)]).optional(),
  embedding_dimension: z.int().positive().optional(),
  word_embedding_dimension: z.int().positive().optional(),
  include_prompt: z.boolean().default(true),
});

/**
 * Reads 1_Pooling/config.json. `dimension` is that of token vectors, undefined where the file does not say. Throws
 * MODEL_UNSUPPORTED, MODEL_INVALID.
 */
export function readPooling(
  path: string,
  hasPrompts: boolean,
): { modes: PoolMode[]; dimension: number | undefined; includePrompt: boolean } {
  const fields = parseFields(POOLING, readJson(path), path);
  if (!fields.include_prompt && hasPrompts) throw unsupported(path, 'include_prompt', false, [true]);
  const modes = fields.pooling_mode ? namedModes(fields.pooling_mode, path) : flaggedModes(fields);
  const dimension = fields.embedding_dimension ?? fields.word_embedding_dimension;
  return { modes, dimension, includePrompt: fields.include_prompt };
}

function namedModes(names: string | string[], path: string): PoolMode[] {
  const modes = [names].flat().map((wanted) => {
    const spelling = SPELLINGS.find(([, name]) => name === wanted);
    if (!spelling) {
      const known = SPELLINGS.map(([, name]) => name);
      throw unsupported(path, 'pooling_mode', wanted, known);
    }
    return spelling[0];
  });
  if (new Set(modes).size < modes.length) {
    throw unsupported(path, 'pooling_mode', names, ['each mode once']);
  }
  return modes;
}

/** No flag at all means mean, as in sentence-transformers. */
function flaggedModes(fields: Record<string, unknown>): PoolMode[] {
  const modes = SPELLINGS.filter(([, , flag]) => fields[flag] === true).map(([mode]) => mode);
  return modes.length > 0 ? modes : ['mean'];
}

/**
 * 1_Pooling/config.json with flags, which all versions read. Modes in another order than the flags' have no such
 * spelling: they are written as version 6 does, and earlier versions refuse them.
 */
export function poolingConfig(
  modes: readonly PoolMode[],
  dimension: number,
  includePrompt: boolean,
): Record<string, unknown> {
  const prompt = { include_prompt: includePrompt };
  const flags = SPELLINGS.map(([mode, , flag]) => [flag, modes.includes(mode)] as const);
  const inOrder = SPELLINGS.filter(([mode]) => modes.includes(mode)).map(([mode]) => mode);
  if (inOrder.join() === modes.join()) {
    return { word_embedding_dimension: dimension, ...Object.fromEntries(flags), ...prompt };
  }
  const names = modes.map((mode) => SPELLINGS.find(([known]) => known === mode)![1]);
  return { embedding_dimension: dimension, pooling_mode: names, ...prompt };
}
