import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { Encoder } from '#xlembed/encoding/encoder.js';
import { device } from '../../device.js';
import { folderOf } from '../goldens.js';

export const MODEL = folderOf('xlm-roberta');

/** A folder that goes when the file's tests have ended. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'xlembed-corpus-'));
  after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** One for all tests of a file. */
export async function sharedEncoder(): Promise<Encoder> {
  const encoder = await Encoder.load(MODEL, { device, tokenizerThreads: 2 });
  after(() => encoder.dispose());
  return encoder;
}

/** Line n of a made corpus: 1 to 30 words. */
export function documentOf(n: number): { id: string; text: string } {
  const words = Array.from({ length: 1 + ((n * 7) % 30) }, (_, i) => `w${5 + ((n * 31 + i * 17) % 85)}`);
  return { id: `d${n}`, text: words.join(' ') };
}

export async function writeCorpus(path: string, count: number): Promise<void> {
  await writeFile(
    path,
    Array.from({ length: count }, (_, n) => `${JSON.stringify(documentOf(n))}\n`).join(''),
  );
}

/** Every file of a folder by name; of the manifest, what does not depend on the time taken. */
export function contentOf(folder: string): Record<string, string> {
  const names = readdirSync(folder).sort();
  return Object.fromEntries(
    names.map((name) => {
      const bytes = readFileSync(join(folder, name));
      if (name !== 'manifest.json') return [name, bytes.toString('base64')];
      const { figures, ...rest } = JSON.parse(bytes.toString());
      return [name, JSON.stringify(rest)];
    }),
  );
}
