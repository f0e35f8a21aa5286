import type { ModelDescription } from '../models/open_model.js';
import { promptFor } from '../models/prompts.js';
import { type GivenTrainingOptions, TRAINING_DEFAULTS, type TrainingOptions } from './options.js';

type Prompts = Pick<TrainingOptions, 'queryPrompt' | 'passagePrompt'>;

/** The prompts to train with: those given, else the model's own where it has any, else the defaults. */
export function trainingPrompts(
  model: Pick<ModelDescription, 'prompts' | 'defaultPrompt'>,
  { queryPrompt, passagePrompt }: Pick<GivenTrainingOptions, keyof Prompts>,
): Prompts {
  const own =
    Object.keys(model.prompts).length > 0
      ? { queryPrompt: promptFor(model, 'query'), passagePrompt: promptFor(model, 'passage') }
      : TRAINING_DEFAULTS;
  return {
    queryPrompt: queryPrompt ?? own.queryPrompt,
    passagePrompt: passagePrompt ?? own.passagePrompt,
  };
}
