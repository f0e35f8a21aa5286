import { XlembedError } from '../../errors.js';
import type { CorpusSettings } from './options.js';

/** Throws RESUME_REFUSED where the shards that a run finished with `begun` are not those that `settings` give. */
export function requireSame(folder: string, settings: CorpusSettings, begun: CorpusSettings): void {
  const changed = differing(comparable(settings), comparable(begun)).filter(
    // A run that fails at a malformed line has finished no shard with one.
    (name) => name !== 'malformed' || begun.malformed !== 'fail',
  );
  if (changed.length === 0) return;
  const shown = changed.map(
    (name) => `${name} was ${shownAs(begun[name])} and is ${shownAs(settings[name])}`,
  );
  throw new XlembedError(
    'RESUME_REFUSED',
    `${folder} was begun with other settings: ${shown.join('; ')}`,
    'resume with the settings and files of the first run, or start again with overwrite',
  );
}

/** The same for the processes of one job, whose machines may have copies of the files. Throws PROCESSES_DIFFER. */
export function requireAgreement(settings: CorpusSettings, leader: CorpusSettings): void {
  const changed = differing(timeless(comparable(settings)), timeless(comparable(leader)));
  if (changed.length === 0) return;
  const shown = changed.map(
    (name) => `${name} is ${shownAs(leader[name])} in the process of rank 0, here ${shownAs(settings[name])}`,
  );
  throw new XlembedError(
    'PROCESSES_DIFFER',
    `expected the same settings in all processes: ${shown.join('; ')}`,
    'start all of them with the same command, model and inputs',
  );
}

/** Without the times of files. */
export function timeless(settings: CorpusSettings): CorpusSettings {
  return {
    ...settings,
    modelFiles: settings.modelFiles.map((file) => file.replace(/ \d+$/, '')),
    inputs: settings.inputs.map((input) => ({ ...input, modified_ms: null })),
  };
}

/** Each process of a job has a device of its own: its kind is what counts. */
function comparable(settings: CorpusSettings): CorpusSettings {
  return { ...settings, device: settings.device.replace(/:.*/, '') };
}

function differing(a: CorpusSettings, b: CorpusSettings): (keyof CorpusSettings)[] {
  const names = Object.keys(a) as (keyof CorpusSettings)[];
  return names.filter((name) => JSON.stringify(a[name]) !== JSON.stringify(b[name]));
}

function shownAs(value: unknown): string {
  return String(JSON.stringify(value)).slice(0, 300);
}
