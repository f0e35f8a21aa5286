import { invalidArgument } from '../../errors.js';

/** What torchrun, SLURM scripts and others tell each process of a job. */
export interface Launch {
  rank: number;
  size: number;
  /** Where the job's store is served. */
  host: string;
  port: number;
  /** The launcher serves the store itself; else the process of rank 0 does. */
  launcherServes: boolean;
  /** How often the launcher has started the job anew. */
  attempt: number;
}

/** undefined for a process on its own. Throws INVALID_ARGUMENT for a variable that is missing or no number. */
export function readLaunch(
  environment: Record<string, string | undefined> = process.env,
): Launch | undefined {
  const { WORLD_SIZE, MASTER_ADDR } = environment;
  if (WORLD_SIZE === undefined || WORLD_SIZE === '1') return undefined;
  const integer = (name: string, from: number, fallback?: string) => {
    const text = environment[name] ?? fallback;
    const value = Number(text);
    if (text !== undefined && /^\d+$/.test(text) && value >= from) return value;
    throw invalidArgument(
      `the environment variable ${name}`,
      `a whole number of ${from} or more, as WORLD_SIZE is ${WORLD_SIZE},`,
      text,
      'start the processes with torchrun --no-python, or unset WORLD_SIZE',
    );
  };
  const size = integer('WORLD_SIZE', 1);
  const rank = integer('RANK', 0);
  if (rank >= size) throw invalidArgument('the environment variable RANK', `a number below ${size}`, rank);
  if (!MASTER_ADDR) throw invalidArgument('the environment variable MASTER_ADDR', 'a host', MASTER_ADDR);
  return {
    rank,
    size,
    host: MASTER_ADDR,
    port: integer('MASTER_PORT', 1),
    launcherServes: environment.TORCHELASTIC_USE_AGENT_STORE === 'True',
    attempt: integer('TORCHELASTIC_RESTART_COUNT', 0, '0'),
  };
}
