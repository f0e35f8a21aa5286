import { invalidArgument } from '../errors.js';

/** What torchrun, SLURM, Open MPI, Kubeflow's PyTorchJob or Ray Train tell each process of a job. */
export interface Launch {
  rank: number;
  size: number;
  /** Number of the process among those of its machine. */
  localRank: number;
  /** Where the job's store is served. */
  host: string;
  port: number;
  /** The launcher serves the store itself; else the process of rank 0 does. */
  launcherServes: boolean;
  /** How often the launcher has started the job anew. */
  attempt: number;
}

export type Environment = Record<string, string | undefined>;

/**
 * undefined for a process on its own. WORLD_SIZE and RANK come first, then what srun and mpirun set for each process of
 * a step. Throws INVALID_ARGUMENT for a variable that is missing or no number.
 */
export function readLaunch(environment: Environment = process.env): Launch | undefined {
  const own = withLauncherNames(environment);
  const { WORLD_SIZE, MASTER_ADDR } = own;
  if (WORLD_SIZE === undefined || WORLD_SIZE === '1') return undefined;
  const integer = (name: string, from: number, fallback?: string) => {
    const text = own[name] ?? fallback;
    const value = Number(text);
    if (text !== undefined && /^\d+$/.test(text) && value >= from) return value;
    throw invalidArgument(
      `the environment variable ${name}`,
      `a whole number of ${from} or more, as WORLD_SIZE is ${WORLD_SIZE},`,
      text,
      START,
    );
  };
  const size = integer('WORLD_SIZE', 1);
  const rank = integer('RANK', 0);
  if (rank >= size) throw invalidArgument('the environment variable RANK', `a number below ${size}`, rank);
  const port = integer('MASTER_PORT', 1);
  if (port > 65_535)
    throw invalidArgument('the environment variable MASTER_PORT', 'a number of at most 65535', port);
  if (!MASTER_ADDR)
    throw invalidArgument('the environment variable MASTER_ADDR', 'a host', MASTER_ADDR, START);
  return {
    rank,
    size,
    localRank: integer('LOCAL_RANK', 0, '0'),
    host: MASTER_ADDR,
    port,
    launcherServes: own.TORCHELASTIC_USE_AGENT_STORE === 'True',
    attempt: integer('TORCHELASTIC_RESTART_COUNT', 0, '0'),
  };
}

const START =
  'start the processes with torchrun --no-python or srun, or with WORLD_SIZE, RANK, MASTER_ADDR and MASTER_PORT in each; one alone with none of them';

function withLauncherNames(environment: Environment): Environment {
  const { WORLD_SIZE, RANK } = environment;
  const named = inTorchrunNames(environment);
  // A batch script may export the size for all that srun starts, whose ranks only srun knows.
  const isOwn = WORLD_SIZE !== undefined && (RANK !== undefined || WORLD_SIZE !== named.WORLD_SIZE);
  return isOwn ? environment : named;
}

/** torchrun's names for what other launchers say in theirs. */
function inTorchrunNames(environment: Environment): Environment {
  // Only srun sets it: in a batch script's own shell SLURM_NTASKS speaks of processes that nobody has started.
  if (environment.SLURM_STEP_NUM_TASKS !== undefined) {
    return {
      MASTER_ADDR: firstHost(environment.SLURM_STEP_NODELIST ?? environment.SLURM_JOB_NODELIST),
      MASTER_PORT: portOfJob(environment.SLURM_JOB_ID),
      ...environment,
      WORLD_SIZE: environment.SLURM_STEP_NUM_TASKS,
      RANK: environment.SLURM_PROCID,
      LOCAL_RANK: environment.SLURM_LOCALID,
      TORCHELASTIC_RESTART_COUNT: environment.SLURM_RESTART_COUNT,
    };
  }
  if (environment.OMPI_COMM_WORLD_SIZE === undefined) return environment;
  return {
    ...environment,
    WORLD_SIZE: environment.OMPI_COMM_WORLD_SIZE,
    RANK: environment.OMPI_COMM_WORLD_RANK,
    LOCAL_RANK: environment.OMPI_COMM_WORLD_LOCAL_RANK,
  };
}

/** `rack[1-2]n[003-010,012],login1` -> `rack1n003`: the machine of rank 0. */
function firstHost(list: string | undefined): string | undefined {
  const [names] = /^(?:[^,[\]]|\[[^\]]*\])+/.exec(list ?? '') ?? [];
  return names?.replace(/\[([^\],-]*)[^\]]*\]/g, '$1');
}

/** Two jobs on one machine should not meet. */
function portOfJob(job: string | undefined): string | undefined {
  return job && /^\d+$/.test(job) ? String(20_000 + (Number(job) % 10_000)) : undefined;
}
