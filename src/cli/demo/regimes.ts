import { Encoder, type EncoderOptions } from '../../encoding/encoder.js';
import type { EvaluationResult } from '../../evaluation/results.js';
import type { FreshModelOptions } from '../../models/open_model.js';
import type { LossPoint } from '../../report/results.js';
import { resolveTrainingOptions, type TrainingOptions } from '../../training/options.js';
import { Trainer } from '../../training/trainer.js';
import type { Console } from '../console.js';
import { evaluateEncoder } from '../evaluate_encoder.js';
import { runTraining } from '../run_training.js';
import { type DemoData, TRAINED, ZERO_SHOT } from './data.js';

/** What differs between the regimes; all start from the same weights and take the same number of steps. */
export const REGIMES = [
  { name: 'untrained', sampler: null, alpha: null },
  { name: 'monolingual', sampler: 'monolingual', alpha: null },
  { name: 'cross_lingual', sampler: 'cross_lingual', alpha: null },
  { name: 'hybrid', sampler: 'hybrid', alpha: 0.5 },
] as const;

export type Regime = (typeof REGIMES)[number];

/** Training options that all regimes share. */
export function demoTrainingOptions(steps: number, seed: number): TrainingOptions {
  return resolveTrainingOptions({
    languages: TRAINED,
    batchSize: 128,
    steps,
    learningRate: 2e-3,
    queryPrompt: '',
    passagePrompt: '',
    seed,
  });
}

export interface RegimeRun {
  regime: Regime;
  encoder: Encoder;
  lossCurve: LossPoint[];
  trainSeconds: number;
  evaluations: Record<string, EvaluationResult>;
}

/** Trains one regime from the common weights and evaluates it on every kind of text. */
export async function runRegime(
  regime: Regime,
  data: DemoData,
  model: FreshModelOptions,
  shared: TrainingOptions,
  encoderOptions: EncoderOptions,
  console: Console,
): Promise<RegimeRun> {
  const encoder = await Encoder.fresh(model, shared.seed, encoderOptions);
  const begun = performance.now();
  const lossCurve = regime.sampler === null ? [] : await train(regime, encoder, data, shared, console);
  const trainSeconds = (performance.now() - begun) / 1000;
  const evaluations: Record<string, EvaluationResult> = {};
  for (const [kind, task] of Object.entries(data.tasks)) {
    evaluations[kind] = await evaluateEncoder(encoder, task, console, {
      groups: { trained: TRAINED, zero_shot: ZERO_SHOT },
      label: `${regime.name}: embedding ${kind}`,
    });
  }
  return { regime, encoder, lossCurve, trainSeconds, evaluations };
}

async function train(
  regime: Regime,
  encoder: Encoder,
  data: DemoData,
  shared: TrainingOptions,
  console: Console,
): Promise<LossPoint[]> {
  const trainer = await Trainer.create(encoder, data.train, {
    ...shared,
    ...(regime.sampler && { sampler: regime.sampler }),
    ...(regime.alpha !== null && { alpha: regime.alpha }),
  });
  try {
    return (await runTraining(trainer, console, { label: `${regime.name}: training` })).lossCurve;
  } finally {
    trainer.dispose();
  }
}
