import type { Command } from 'commander';
import type { TrainFlags } from './train_flags.js';

interface Dependence {
  of: readonly (keyof TrainFlags)[];
  needs: string;
  met: (flags: TrainFlags) => boolean;
}

/** Options that would be passed over in silence without another one. */
const DEPENDENCES: readonly Dependence[] = [
  {
    of: ['loraAlpha', 'loraDropout', 'loraTargets', 'loraLayers'],
    needs: '--lora-rank',
    met: ({ loraRank }) => loraRank !== undefined,
  },
  {
    of: ['codeSwitch', 'codeSwitchMode', 'switchQueriesTo', 'switchPassagesTo'],
    needs: '--lexicon',
    met: ({ lexicon }) => lexicon !== undefined,
  },
  {
    of: ['symmetric', 'learnTemperature', 'lossPrecision'],
    needs: '--loss info_nce',
    met: ({ loss }) => loss === 'info_nce',
  },
  { of: ['margin'], needs: '--loss triplet', met: ({ loss }) => loss === 'triplet' },
  {
    of: ['teacherTemperature'],
    needs: '--loss kl_distillation',
    met: ({ loss }) => loss === 'kl_distillation',
  },
  { of: ['tokenizer', 'pooling'], needs: '--config', met: ({ config }) => config !== undefined },
  { of: ['evalTask'], needs: '--eval-data', met: ({ evalData }) => evalData !== undefined },
  { of: ['evalData'], needs: '--eval-task', met: ({ evalTask }) => evalTask !== undefined },
  {
    of: ['watch', 'patience', 'evalEvery'],
    needs: '--eval-records or --eval-task',
    met: ({ evalRecords, evalTask }) => evalRecords !== undefined || evalTask !== undefined,
  },
];

/** Ends with a usage error where an option is given without what it needs. */
export function checkDependences(command: Command): void {
  const flags = command.opts<TrainFlags>();
  for (const { of, needs, met } of DEPENDENCES) {
    const given = of.find((name) => command.getOptionValueSource(name) === 'cli');
    if (given === undefined || met(flags)) continue;
    const option = command.options.find((candidate) => candidate.attributeName() === given);
    command.error(`error: option '${option?.flags}' needs ${needs}`);
  }
}
