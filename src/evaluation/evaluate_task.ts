import { join } from 'node:path';
import { z } from 'zod';
import { checkOptions, functionSchema } from '../checked_options.js';
import { invalidArgument } from '../errors.js';
import { packageVersion } from '../native.js';
import { cachedEmbed } from './embedding_cache.js';
import { type Embed, type EvaluationOptions, evaluateRetrieval, evaluationShape } from './evaluate.js';
import { evaluateBitext } from './evaluate_bitext.js';
import { evaluateCollections } from './evaluate_collections.js';
import { evaluateSimilarity } from './evaluate_similarity.js';
import { FinishedParts } from './finished_parts.js';
import type { EvaluationResult } from './results.js';
import type { Task } from './tasks/task.js';

export interface TaskOptions extends EvaluationOptions {
  /** All pairs of a bitext task whose languages are all parallel, not only those with its pivot language. */
  allPairs?: boolean | undefined;
  /**
   * Where embeddings and finished parts are kept, so that an interrupted evaluation goes on where it stopped.
   * `identity` is what they depend on besides the texts: the weights, prompts, lengths, dtype.
   */
  cache?: { folder: string; identity: unknown } | undefined;
}

/** Without one the embeddings of every model would be the same. */
const identitySchema = z.custom(
  (value) => value !== undefined,
  'what the embeddings depend on besides the texts',
);
const schema = z
  .strictObject({
    ...evaluationShape,
    allPairs: z.boolean(),
    // Of collections.
    depth: z.int().min(1),
    blockRows: z.int().min(1),
    cache: z.strictObject({ folder: z.string(), identity: identitySchema }),
  })
  .partial();

/** Measures any task, whatever its kind. Throws what its kind's evaluation throws. */
export async function evaluateTask(
  task: Task,
  embed: Embed,
  options: TaskOptions = {},
): Promise<EvaluationResult> {
  checkOptions(schema, options);
  checkOptions(z.object({ embed: functionSchema }), { embed });
  const { cache, ...rest } = options;
  // Another version may embed, read or measure otherwise.
  const identity = [packageVersion(), cache?.identity];
  const embedded = cache ? cachedEmbed(embed, join(cache.folder, 'embeddings'), identity) : embed;
  const parts = new FinishedParts(cache && join(cache.folder, 'parts'), identity);
  switch (task?.kind) {
    case 'retrieval':
      return evaluateRetrieval(task, embedded, rest);
    case 'collection':
      return evaluateCollections(task, embedded, { ...rest, parts });
    case 'bitext':
      return evaluateBitext(task, embedded, { ...rest, parts });
    case 'similarity':
      return evaluateSimilarity(task, embedded, { ...rest, parts });
    default:
      throw invalidArgument('task', 'what openTask or recordsTask gives', task);
  }
}
