import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { fileError } from '../../files/file_error.js';
import { taskDataInvalid } from './squad_sentences.js';

const languageFile = /^([a-z]{2,3}(?:-[A-Za-z0-9]+)*)\.json(?:\.gz)?$/;

/** A damaged or hostile archive must not fill the memory; published task files unpack to about 1 MiB. */
const largestFile_bytes = 2 ** 28;

/**
 * Language -> path of `<language>.json` or `<language>.json.gz`, in alphabetical order; other files are left alone.
 * Throws FILE_NOT_FOUND, FILE_READ_FAILED, and TASK_DATA_INVALID for none or for two of one language.
 */
export async function findLanguageFiles(folder: string): Promise<Map<string, string>> {
  const names = await readdir(folder).catch((cause) => {
    throw fileError(folder, cause);
  });
  const paths = new Map<string, string>();
  for (const name of names.sort()) {
    const language = languageFile.exec(name)?.[1];
    if (!language) continue;
    if (paths.has(language))
      throw taskDataInvalid(folder, `one file for ${language}`, `a plain and a .gz one`);
    paths.set(language, join(folder, name));
  }
  if (paths.size === 0)
    throw taskDataInvalid(folder, '<language>.json or <language>.json.gz', 'no such file');
  return paths;
}

/** The text of a UTF-8 file, unpacked when its name ends in .gz. Throws FILE_READ_FAILED, TASK_DATA_INVALID. */
export async function readUtf8(path: string): Promise<string> {
  const bytes = await unpacked(path).catch((cause) => {
    throw fileError(path, cause);
  });
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw taskDataInvalid(path, 'UTF-8', 'other bytes', { cause });
  }
}

async function unpacked(path: string): Promise<Uint8Array> {
  const bytes = await readFile(path);
  return path.endsWith('.gz') ? promisify(gunzip)(bytes, { maxOutputLength: largestFile_bytes }) : bytes;
}
