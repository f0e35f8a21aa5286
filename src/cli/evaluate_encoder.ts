import type { Encoder } from '../encoding/encoder.js';
import { evaluateRetrieval } from '../evaluation/evaluate.js';
import type { EvaluationResult } from '../evaluation/results.js';
import type { RetrievalTask } from '../evaluation/tasks/task.js';
import type { Role } from '../models/prompts.js';
import { FlatIndex } from '../search/flat_index.js';
import type { Console } from './console.js';

/** Evaluates an encoder on a task, its prompts applied by role, with progress of the texts embedded. */
export async function evaluateEncoder(
  encoder: Encoder,
  task: RetrievalTask,
  console: Console,
  options: {
    languages?: readonly string[] | undefined;
    groups?: Record<string, readonly string[]>;
    label?: string;
    /** By role; default: the model's own. */
    prompts?: Record<Role, string>;
  } = {},
): Promise<EvaluationResult> {
  const languages = options.languages ?? task.languages;
  const texts = languages
    .filter((language) => task.languages.includes(language))
    .reduce((sum, language) => sum + task.queries(language).length + task.candidates(language).length, 0);
  const progress = console.progress(options.label ?? `embedding ${task.name}`, texts);
  try {
    const embed = (batch: readonly string[], role: Role) =>
      encoder.encode(batch, options.prompts ? { prompt: options.prompts[role] } : { role });
    return await evaluateRetrieval(task, embed, {
      createIndex: (dimensions) => FlatIndex.create({ dimensions, device: encoder.device }),
      similarity: encoder.model.similarity === 'dot' ? 'dot' : 'cosine',
      ...(options.languages && { languages: options.languages }),
      ...(options.groups && { groups: options.groups }),
      onProgress: (event) => {
        if (event.stage === 'embed') progress.update(event.textsDone, `${event.language} ${event.role}`);
      },
    });
  } finally {
    progress.stop();
  }
}
