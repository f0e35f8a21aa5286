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
    (name) => `${name} was ${JSON.stringify(begun[name])} and is ${JSON.stringify(settings[name])}`,
  );
  throw new XlembedError(
    'RESUME_REFUSED',
    `${folder} was begun with other settings: ${shown.join('; ').slice(0, 1000)}`,
    'resume with the settings and files of the first run, or start again with overwrite',
  );
}

/** Each process of a job has a device of its own: its kind is what counts. */
function comparable(settings: CorpusSettings): CorpusSettings {
  return { ...settings, device: settings.device.replace(/:.*/, '') };
}

function differing(a: CorpusSettings, b: CorpusSettings): (keyof CorpusSettings)[] {
  const names = Object.keys(a) as (keyof CorpusSettings)[];
  return names.filter((name) => JSON.stringify(a[name]) !== JSON.stringify(b[name]));
}
